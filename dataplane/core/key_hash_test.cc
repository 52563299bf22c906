// SPDX-License-Identifier: Apache-2.0
#include "core/key_hash.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "packet/random.h"

namespace steelyard::core {
namespace {

using net::Be16;
using net::Be32;
using net::FlowKey;
using net::FlowKey4;
using net::FlowKey6;
using net::L4Protocol;

constexpr uint32_t kKeys = 1 << 18;
constexpr uint32_t kCells = 4096;

// Chi-square with 4095 degrees of freedom has mean 4095 and standard deviation 90; ten of them away
// there is no chance but a fault.
void ExpectSpread(const std::function<uint64_t(uint32_t)>& hash_of_nth, const char* what) {
  const std::vector<std::pair<const char*, std::function<uint32_t(uint64_t)>>> parts = {
      {"bucket bits", [](uint64_t hash) { return static_cast<uint32_t>(hash >> 52); }},
      {"signature", [](uint64_t hash) { return static_cast<uint32_t>(hash % kCells); }},
      {"high signature", [](uint64_t hash) { return static_cast<uint32_t>(hash >> 4) % kCells; }},
      {"both", [](uint64_t hash) {
         return static_cast<uint32_t>((hash >> 58) << 6 | (hash & 63)) % kCells;
       }}};
  for (const auto& [name, part] : parts) {
    std::vector<double> cells(kCells);
    for (uint32_t i = 0; i < kKeys; ++i) ++cells[part(hash_of_nth(i))];
    const double expected = static_cast<double>(kKeys) / kCells;
    double chi_square = 0;
    for (const double cell : cells) chi_square += (cell - expected) * (cell - expected) / expected;
    EXPECT_LT(chi_square, 4095 + 900) << what << ", " << name;
  }
}

FlowKey4 Key4(uint32_t source, uint16_t source_port, uint32_t destination, uint16_t port) {
  return {net::Ipv4Address{Be32(source)}, net::Ipv4Address{Be32(destination)}, Be16(source_port),
          Be16(port), L4Protocol::kTcp};
}

FlowKey6 Key6(uint32_t source, uint16_t source_port, uint32_t destination, uint16_t port) {
  FlowKey6 key{{}, {}, Be16(source_port), Be16(port), L4Protocol::kTcp};
  key.source.bytes[0] = key.destination.bytes[0] = 0xfd;
  std::memcpy(key.source.bytes.data() + 12, &source, 4);
  std::memcpy(key.destination.bytes.data() + 12, &destination, 4);
  return key;
}

HashSecret RandomSecret(uint32_t seed) {
  test::Random random(seed);
  HashSecret secret;
  for (uint64_t& word : secret.words) word = uint64_t{random()} << 32 | random();
  return secret;
}

TEST(KeyHash, SpreadsTheKeysOfRealTraffic) {
  for (const HashSecret& secret : {HashSecret{}, RandomSecret(1), RandomSecret(2)}) {
    ExpectSpread(
        [&](uint32_t i) {
          return KeyHash(Key4(0xc6336401 + i / 50'000, static_cast<uint16_t>(1024 + i % 50'000),
                              0x0a00010a, 80),
                         secret);
        },
        "clients' ports");
    ExpectSpread(
        [&](uint32_t i) { return KeyHash(Key4(0x0b000000 + i, 40'000, 0x0a00010a, 80), secret); },
        "clients' addresses");
    ExpectSpread(
        [&](uint32_t i) {
          return KeyHash(Key4(0x0a00020b + i / 64'000, 8080, 0x0a000264,
                              static_cast<uint16_t>(1024 + i % 64'000)),
                         secret);
        },
        "backends' replies");
    ExpectSpread(
        [&](uint32_t i) {
          return KeyHash(Key6(i / 50'000, static_cast<uint16_t>(1024 + i % 50'000), 10, 80),
                         secret);
        },
        "IPv6 clients' ports");
    ExpectSpread([&](uint32_t i) { return KeyHash(Key6(i, 40'000, 10, 80), secret); },
                 "IPv6 clients' addresses");
    ExpectSpread(
        [&](uint32_t i) { return KeyHash(Key6(net::SwapBytes(i), 40'000, 10, 80), secret); },
        "IPv6 clients' low bits");
  }
}

// Flipping any bit of a key flips each bit of the hash about half the time.
TEST(KeyHash, EveryBitOfTheKeyMatters) {
  test::Random random(3);
  const HashSecret secret = RandomSecret(4);
  const auto check = [&](auto key, size_t bytes) {
    for (size_t bit = 0; bit < bytes * 8; ++bit) {
      int flipped = 0;
      for (int trial = 0; trial < 200; ++trial) {
        auto* raw = reinterpret_cast<uint8_t*>(&key);
        for (size_t i = 0; i < bytes; ++i) raw[i] = static_cast<uint8_t>(random());
        const uint64_t before = KeyHash(key, secret);
        raw[bit / 8] = static_cast<uint8_t>(raw[bit / 8] ^ 1u << bit % 8);
        flipped += __builtin_popcountll(before ^ KeyHash(key, secret));
      }
      EXPECT_NEAR(flipped / 200.0, 32, 4) << bit;
    }
  };
  check(FlowKey4{}, sizeof(FlowKey4));
  check(FlowKey6{}, sizeof(FlowKey6));
}

TEST(KeyHash, DependsOnTheSecret) {
  const FlowKey4 key = Key4(1, 2, 3, 4);
  EXPECT_NE(KeyHash(key, RandomSecret(1)), KeyHash(key, RandomSecret(2)));
}

TEST(KeyHash, EitherFormOfAKeyHasOneHash) {
  const HashSecret secret = RandomSecret(5);
  const FlowKey4 v4 = Key4(0x0a000001, 80, 0x0a000002, 81);
  const FlowKey6 v6 = Key6(1, 2, 3, 4);
  EXPECT_EQ(KeyHash(FlowKey(v4), secret), KeyHash(v4, secret));
  EXPECT_EQ(KeyHash(FlowKey(v6), secret), KeyHash(v6, secret));
}

}  // namespace
}  // namespace steelyard::core
