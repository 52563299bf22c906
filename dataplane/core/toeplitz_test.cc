// SPDX-License-Identifier: Apache-2.0
#include "core/toeplitz.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <span>

namespace steelyard::core {
namespace {

using net::Endpoint;
using net::FlowKey;

constexpr ToeplitzKey kMicrosoftKey = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                       0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                       0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                       0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

FlowKey Key(const char* source, uint16_t source_port, const char* destination, uint16_t port) {
  return FlowKey({*net::ParseIpAddress(source), net::Be16(source_port)},
                 {*net::ParseIpAddress(destination), net::Be16(port)}, net::L4Protocol::kTcp);
}

// The definition: for each bit of the input that is set, the 32 bits of the key that begin there.
uint32_t ByDefinition(const ToeplitzKey& key, std::span<const uint8_t> input) {
  const auto key_bit = [&](size_t bit) { return uint32_t{key[bit / 8]} >> (7 - bit % 8) & 1; };
  uint32_t hash = 0;
  for (size_t bit = 0; bit < 8 * input.size(); ++bit) {
    if ((input[bit / 8] >> (7 - bit % 8) & 1) == 0) continue;
    for (uint32_t i = 0; i < 32; ++i) hash ^= key_bit(bit + i) << (31 - i);
  }
  return hash;
}

template <typename Bytes>
void Randomize(std::mt19937& random, Bytes& bytes) {
  auto* begin = reinterpret_cast<uint8_t*>(&bytes);
  for (size_t i = 0; i < sizeof(Bytes); ++i) begin[i] = static_cast<uint8_t>(random());
}

class ToeplitzWays : public testing::TestWithParam<Toeplitz::Way> {
 protected:
  void SetUp() override {
    if (GetParam() == Toeplitz::Way::kAffine && !Toeplitz::HasAffine())
      GTEST_SKIP() << "this CPU has no GFNI with AVX-512";
  }
};
INSTANTIATE_TEST_SUITE_P(All, ToeplitzWays,
                         testing::Values(Toeplitz::Way::kTable, Toeplitz::Way::kAffine),
                         [](const auto& way) {
                           return way.param == Toeplitz::Way::kTable ? "Table" : "Affine";
                         });

// The verification suite that Microsoft publishes for RSS.
TEST_P(ToeplitzWays, PublishedVectors) {
  const Toeplitz toeplitz(kMicrosoftKey, GetParam());
  EXPECT_EQ(toeplitz.Hash(Key("66.9.149.187", 2794, "161.142.100.80", 1766)), 0x51ccc178u);
  EXPECT_EQ(toeplitz.Hash(Key("199.92.111.2", 14230, "65.69.140.83", 4739)), 0xc626b0eau);
  EXPECT_EQ(toeplitz.Hash(Key("24.19.198.95", 12898, "12.22.207.184", 38024)), 0x5c2b394au);
  EXPECT_EQ(toeplitz.Hash(Key("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766)),
            0x40207d3du);
  EXPECT_EQ(toeplitz.Hash(Key("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739)),
            0xdde51bbfu);
}

TEST_P(ToeplitzWays, EqualsTheDefinitionForRandomKeysAndInputs) {
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    ToeplitzKey key;
    Randomize(random, key);
    const Toeplitz toeplitz(key, GetParam());
    for (int j = 0; j < 50; ++j) {
      net::FlowKey4 v4;
      net::FlowKey6 v6;
      Randomize(random, v4);
      Randomize(random, v6);
      ASSERT_EQ(toeplitz.Hash(v4), ByDefinition(key, {reinterpret_cast<const uint8_t*>(&v4), 12}));
      ASSERT_EQ(toeplitz.Hash(v6), ByDefinition(key, {reinterpret_cast<const uint8_t*>(&v6), 36}));
    }
  }
}

// The whole hash: a bit of each in turn, since linearity makes the rest of these.
TEST_P(ToeplitzWays, EqualsTheDefinitionForEachBitOfTheInput) {
  const Toeplitz toeplitz(kSteeringKey, GetParam());
  for (size_t bit = 0; bit < 8 * 36; ++bit) {
    std::array<uint8_t, sizeof(net::FlowKey6)> bytes{};
    bytes[bit / 8] = static_cast<uint8_t>(0x80 >> bit % 8);
    net::FlowKey4 v4;
    net::FlowKey6 v6;
    std::memcpy(static_cast<void*>(&v4), bytes.data(), sizeof(v4));
    std::memcpy(static_cast<void*>(&v6), bytes.data(), sizeof(v6));
    EXPECT_EQ(toeplitz.Hash(v4), ByDefinition(kSteeringKey, std::span(bytes).first(12))) << bit;
    EXPECT_EQ(toeplitz.Hash(v6), ByDefinition(kSteeringKey, std::span(bytes).first(36))) << bit;
  }
}

// A key may be the last thing before memory that is not there.
TEST_P(ToeplitzWays, ReadsNothingBehindTheKey) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory =
      mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* end = static_cast<uint8_t*>(memory) + page;
  ASSERT_EQ(mprotect(end, page, PROT_NONE), 0);
  const Toeplitz toeplitz(kSteeringKey, GetParam());
  auto* v4 = reinterpret_cast<net::FlowKey4*>(end - sizeof(net::FlowKey4));
  auto* v6 = reinterpret_cast<net::FlowKey6*>(end - sizeof(net::FlowKey6));
  EXPECT_EQ(toeplitz.Hash(*v4), 0u);
  EXPECT_EQ(toeplitz.Hash(*v6), 0u);
  munmap(memory, 2 * page);
}

}  // namespace
}  // namespace steelyard::core
