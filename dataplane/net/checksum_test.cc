// SPDX-License-Identifier: Apache-2.0
#include "net/checksum.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace steelyard::net {
namespace {

// As RFC 1071 section 1 says it, word by word.
uint16_t ReferenceSum(const std::vector<uint8_t>& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2)
    sum += bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

std::vector<uint8_t> RandomBytes(std::mt19937& random, size_t length) {
  std::vector<uint8_t> bytes(length);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

TEST(Checksum, EqualsTheReferenceAtEveryLength) {
  std::mt19937 random(1);
  for (size_t length = 0; length < 200; ++length) {
    const auto bytes = RandomBytes(random, length);
    EXPECT_EQ(SwapBytes(FoldSum(SumBytes(bytes.data(), length))), ReferenceSum(bytes)) << length;
  }
}

TEST(Checksum, ExampleOfRfc1071) {
  const std::vector<uint8_t> bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(SwapBytes(FoldSum(SumBytes(bytes.data(), bytes.size()))), 0xddf2);
}

// All ones and zero are the same number in one's complement.
bool SameChecksum(Be16 a, Be16 b) { return a.raw() % 0xffff == b.raw() % 0xffff; }

TEST(ChecksumDelta, IncrementalEqualsFull) {
  std::mt19937 random(2);
  for (int round = 0; round < 20000; ++round) {
    auto bytes = RandomBytes(random, 64);
    if (round % 3 == 0) std::fill(bytes.begin(), bytes.begin() + 32, round % 2 ? 0xff : 0x00);
    const Be16 before = ChecksumOf(SumBytes(bytes.data(), bytes.size()));
    ChecksumDelta delta;
    const size_t at = random() % 28 * 2;
    const auto fresh = RandomBytes(random, 8);
    delta.Replace(bytes.data() + at, fresh.data(), 8);
    std::copy(fresh.begin(), fresh.end(), bytes.begin() + static_cast<long>(at));
    const Be16 after = ChecksumOf(SumBytes(bytes.data(), bytes.size()));
    EXPECT_TRUE(SameChecksum(delta.ApplyTo(before), after));
    EXPECT_TRUE(SameChecksum(ChecksumDelta(delta.folded()).ApplyTo(before), after));
  }
}

TEST(ChecksumDelta, ThereAndBackIsIdentity) {
  std::mt19937 random(3);
  for (int round = 0; round < 1000; ++round) {
    const IpAddress a(Ipv4Address{Be32(static_cast<uint32_t>(random()))});
    const IpAddress b(Ipv4Address{Be32(static_cast<uint32_t>(random()))});
    const Be16 checksum(static_cast<uint16_t>(random()));
    const Be16 there = ChecksumDelta().Replace(a, b).ApplyTo(checksum);
    EXPECT_TRUE(SameChecksum(ChecksumDelta().Replace(b, a).ApplyTo(there), checksum));
  }
}

TEST(ChecksumDelta, UdpNeverBecomesZero) {
  for (uint32_t before = 0; before < 65536; ++before) {
    ChecksumDelta delta;
    delta.Replace(Be16(80), Be16(8080));
    EXPECT_NE(delta.ApplyToUdp(Be16(static_cast<uint16_t>(before))).raw(), 0);
  }
}

}  // namespace
}  // namespace steelyard::net
