// SPDX-License-Identifier: Apache-2.0
//
// The parts; what becomes of whole errors is in test/packet/icmp_error_test.cc.
#include "core/icmp_error.h"

#include <gtest/gtest.h>

#include "packet/packet_builder.h"
#include "packet/random.h"
#include "packet/strange_frames.h"

namespace steelyard::core {
namespace {

using test::Bytes;

Bytes SomeError(test::Random& random, bool v4) {
  const Bytes quoted = test::Slice(
      test::UdpFrame({.source = v4 ? test::kVip4 : test::kVip6,
                      .destination = v4 ? test::kClient4 : test::kClient6,
                      .payload = test::Pattern(random() % 60, static_cast<uint8_t>(random()))}),
      14, v4 ? 42 : 62);
  return test::IcmpFrame(test::Address(v4 ? "203.0.113.1" : "2001:db8:9::1"),
                         v4 ? test::kVip4.address : test::kVip6.address, v4 ? 3 : 1, 1, random(),
                         quoted);
}

net::ParsedPacket Parse(const net::Packet& packet) {
  return net::ParsePacket(packet, test::kPortMac[0]);
}

TEST(IcmpError, ItsKeyIsThatOfTheReply) {
  test::Random random(1);
  const test::ExactBuffer buffer(SomeError(random, true));
  EXPECT_EQ(KeyOfIcmpError(Parse(buffer.packet())),
            net::FlowKey(test::kClient4, test::kVip4, net::L4Protocol::kUdp));
}

TEST(IcmpError, ChecksumHoldsUntilAnyBitOfTheMessageChanges) {
  test::Random random(2);
  for (int round = 0; round < 2000; ++round) {
    const bool v4 = random() % 2;
    Bytes frame = SomeError(random, v4);
    const size_t icmp = v4 ? 34 : 54;
    {
      const test::ExactBuffer buffer(frame);
      ASSERT_TRUE(VerifyIcmpChecksum(Parse(buffer.packet()), buffer.packet()));
    }
    // Behind the fields that the parser judges by, in front of the quoted header.
    const size_t at = icmp + 2 + random() % 6;
    frame[at] = static_cast<uint8_t>(frame[at] ^ 1u << random() % 8);
    const test::ExactBuffer buffer(frame);
    ASSERT_FALSE(VerifyIcmpChecksum(Parse(buffer.packet()), buffer.packet())) << at - icmp;
  }
}

TEST(IcmpError, PaddingIsNotSummed) {
  test::Random random(3);
  for (const bool v4 : {true, false}) {
    Bytes frame = SomeError(random, v4);
    frame.resize(frame.size() + 11, 0xee);
    const test::ExactBuffer buffer(frame);
    EXPECT_TRUE(VerifyIcmpChecksum(Parse(buffer.packet()), buffer.packet()));
  }
}

}  // namespace
}  // namespace steelyard::core
