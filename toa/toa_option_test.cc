// SPDX-License-Identifier: Apache-2.0
#include "toa/toa_option.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <random>
#include <vector>

namespace steelyard::toa {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint8_t kKind = 254;

std::optional<ToaClient> Find(const Bytes& options) {
  // What lies behind `length` would be a fine option: it must not be looked at.
  std::array<uint8_t, kToaOptionsMax> room;
  const Bytes bait = {kKind, 8, 1, 2, 3, 4, 5, 6};
  for (size_t i = 0; i < room.size(); ++i) room[i] = bait[i % bait.size()];
  std::copy(options.begin(), options.end(), room.begin());
  ToaClient client{};
  if (!ToaFind(room.data(), static_cast<uint32_t>(options.size()), kKind, &client)) {
    return std::nullopt;
  }
  return client;
}

// RFC 9293's option list cut into options: the whole list, or what stands before the first break.
std::vector<Bytes> Split(const Bytes& list) {
  std::vector<Bytes> options;
  for (auto at = list.begin(); at != list.end() && *at != 0;) {
    ptrdiff_t size = 1;
    if (*at != 1) {
      if (list.end() - at < 2) break;
      size = at[1];
      if (size < 2 || size > list.end() - at) break;
    }
    options.emplace_back(at, at + size);
    at += size;
  }
  return options;
}

std::optional<ToaClient> FindByModel(const Bytes& list) {
  for (const Bytes& option : Split(list)) {
    if (option[0] != kKind || (option.size() != 8 && option.size() != 20)) continue;
    ToaClient client{};
    client.is_known = 1;
    std::memcpy(&client.port, &option[2], 2);
    Bytes address(option.begin() + 4, option.end());
    if (address.size() == 4)
      address.insert(address.begin(), {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255});
    std::memcpy(client.address, address.data(), 16);
    return client;
  }
  return std::nullopt;
}

bool Same(const std::optional<ToaClient>& a, const std::optional<ToaClient>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return std::memcmp(&*a, &*b, sizeof(*a)) == 0;
}

// Lists in which options, breaks and the kind are far more common than in random bytes.
Bytes RandomList(std::mt19937& random) {
  const auto below = [&](int n) { return static_cast<int>(random() % n); };
  Bytes list;
  const size_t length = static_cast<size_t>(below(11)) * 4;
  while (list.size() < length) {
    const int what = below(16);
    if (what < 4) {
      list.push_back(1);
    } else if (what == 4) {
      list.push_back(static_cast<uint8_t>(random()));
    } else {
      constexpr std::array<int, 8> kLengths = {8, 20, 8, 7, 19, 10, 4, 2};
      const int size = kLengths[below(8)];
      list.push_back(what < 10 ? kKind : static_cast<uint8_t>(2 + below(7)));
      list.push_back(static_cast<uint8_t>(size));
      for (int i = 2; i < size; ++i) list.push_back(static_cast<uint8_t>(random()));
    }
  }
  list.resize(length);
  return list;
}

TEST(ToaOptionTest, FindsWhatTheModelFinds) {
  std::mt19937 random(20240917);
  int found = 0;
  for (int i = 0; i < 300'000; ++i) {
    const Bytes list = RandomList(random);
    const std::optional<ToaClient> expected = FindByModel(list);
    ASSERT_TRUE(Same(Find(list), expected)) << testing::PrintToString(list);
    found += expected.has_value();
  }
  EXPECT_GT(found, 30'000);
  EXPECT_LT(found, 270'000);
}

TEST(ToaOptionTest, FindsItWhereverItFits) {
  for (const size_t size : {8u, 20u}) {
    for (size_t padding = 0; padding + size <= kToaOptionsMax; ++padding) {
      Bytes list(padding, 1);
      list.insert(list.end(), {kKind, static_cast<uint8_t>(size)});
      while (list.size() < padding + size) list.push_back(static_cast<uint8_t>(list.size()));
      EXPECT_TRUE(Find(list)) << size << " bytes after " << padding;
      list.pop_back();
      EXPECT_FALSE(Find(list)) << size << " bytes cut after " << padding;
    }
  }
}

TEST(ToaOptionTest, ReadsIpv4AsMapped) {
  const std::optional<ToaClient> client = Find({kKind, 8, 0x1f, 0x90, 192, 0, 2, 7});
  ASSERT_TRUE(client);
  EXPECT_TRUE(ToaIsIpv4(&*client));
  EXPECT_EQ(client->port, __builtin_bswap16(8080));
  EXPECT_EQ(client->address[3], __builtin_bswap32(0xc0000207));
}

TEST(ToaOptionTest, ReadsIpv6) {
  const std::optional<ToaClient> client =
      Find({kKind, 20, 0, 80, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9});
  ASSERT_TRUE(client);
  EXPECT_FALSE(ToaIsIpv4(&*client));
  EXPECT_EQ(client->address[0], __builtin_bswap32(0x20010db8));
  EXPECT_EQ(client->address[3], __builtin_bswap32(9));
}

TEST(ToaOptionTest, NothingAfterTheEndOfTheListCounts) {
  EXPECT_FALSE(Find({0, 1, 1, 1, kKind, 8, 0, 80, 192, 0, 2, 7}));
}

TEST(ToaOptionTest, AnotherLengthIsSteppedOver) {
  EXPECT_FALSE(Find({kKind, 7, 0, 80, 192, 0, 2, 1}));
  EXPECT_TRUE(Find({kKind, 4, 0, 80, kKind, 8, 0, 80, 192, 0, 2, 7}));
}

TEST(ToaOptionTest, ABrokenLengthEndsTheSearch) {
  EXPECT_FALSE(Find({3, 0, 1, 1, kKind, 8, 0, 80, 192, 0, 2, 7}));
  EXPECT_FALSE(Find({3, 1, 1, 1, kKind, 8, 0, 80, 192, 0, 2, 7}));
  EXPECT_FALSE(Find({3, 200, 1, 1, kKind, 8, 0, 80, 192, 0, 2, 7}));
}

}  // namespace
}  // namespace steelyard::toa
