// SPDX-License-Identifier: Apache-2.0
#include "core/icmp_answer.h"

#include <gtest/gtest.h>

#include "packet/packet_builder.h"
#include "packet/random.h"

namespace steelyard::core {
namespace {

using net::Family;
using net::Verdict;
using test::Address;
using test::Bytes;
using test::Host;

const NextHop kWayBack = {1, 1500, test::kPortMac[1], test::kSomeMac};

// A datagram or segment of either family with any options, payload and padding.
Bytes SomeFrame(test::Random& random, Family family) {
  const bool is_v4 = family == Family::kIpv4;
  const net::Endpoint source = is_v4 ? Host("198.51.100.7", 4000) : Host("2001:db8:7::7", 4000);
  const net::Endpoint destination = is_v4 ? Host("192.0.2.1", 80) : Host("2001:db8::1", 80);
  test::IpFields fields;
  fields.ttl = static_cast<uint8_t>(random());
  fields.dscp_and_ecn = static_cast<uint8_t>(random());
  fields.identification = static_cast<uint16_t>(random());
  if (random() % 4 == 0) {
    if (is_v4)
      fields.options = Bytes(4 * (1 + random() % 10), 1);
    else
      fields.first_extension = net::kIpv6DestinationOptions;
  }
  const bool tcp = random() % 2;
  if (fields.first_extension != 0)
    fields.extensions = {static_cast<uint8_t>(tcp ? 6 : 17), 0, 1, 4, 0, 0, 0, 0};
  const Bytes payload = test::Pattern(random() % (random() % 2 ? 40 : 2000), 3);
  Bytes frame =
      tcp ? test::TcpFrame({.source = source, .destination = destination, .payload = payload},
                           fields)
          : test::UdpFrame({.source = source, .destination = destination, .payload = payload},
                           fields);
  if (frame.size() < 60) frame.resize(60, 0xee);
  return frame;
}

Bytes IpPacketOf(const Bytes& frame) {
  return test::Slice(frame, 14, 14 + test::Dissect(frame).l3_bytes);
}

class IcmpAnswer : public testing::TestWithParam<Family> {
 protected:
  bool v4() const { return GetParam() == Family::kIpv4; }
  net::IpAddress box() const { return Address(v4() ? "10.0.1.1" : "fd00:1::1"); }
  uint32_t added_bytes() const { return v4() ? 28 : 48; }
};
INSTANTIATE_TEST_SUITE_P(Family, IcmpAnswer, testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& param) {
                           return param.param == Family::kIpv4 ? "Ipv4" : "Ipv6";
                         });

// The law: a right ICMP error whose quote is the beginning of what arrived, as long as may be.
TEST_P(IcmpAnswer, QuotesWhatArrived) {
  test::Random random(1);
  for (int trial = 0; trial < 3000; ++trial) {
    const Bytes frame = SomeFrame(random, GetParam());
    const Bytes arrived = IpPacketOf(frame);
    const test::ExactBuffer buffer(frame, added_bytes() + random() % 3);
    net::Packet packet = buffer.packet();
    const auto parsed = net::ParsePacket(packet, test::kPortMac[0]);
    ASSERT_EQ(parsed.packet_class, net::PacketClass::kFlow);
    const bool too_big = random() % 2;
    NextHop way_back = kWayBack;
    way_back.mtu = static_cast<uint16_t>(net::LeastMtu(GetParam()) + random() % 1000);
    const Refusal refusal =
        too_big ? Refusal{Verdict::kPacketTooBig, 1400} : Refusal{Verdict::kTtlExceeded};
    ASSERT_TRUE(WriteIcmpAnswer(refusal, box(), way_back, parsed, packet));
    EXPECT_EQ(packet.data - packet.headroom, buffer.packet().data - buffer.packet().headroom);

    const test::Seen seen = test::Dissect(test::BytesOf(packet));
    ASSERT_EQ(seen.trouble, "");
    EXPECT_EQ(packet.length, 14 + seen.l3_bytes);
    EXPECT_EQ(seen.destination_mac, way_back.destination);
    EXPECT_EQ(seen.source_mac, way_back.source);
    EXPECT_EQ(seen.source.address, box());
    EXPECT_EQ(seen.destination.address, test::Dissect(frame).source.address);
    EXPECT_EQ(seen.ttl, 64);
    EXPECT_EQ(seen.icmp_type, v4() ? (too_big ? 3 : 11) : (too_big ? 2 : 3));
    EXPECT_EQ(seen.icmp_code, v4() && too_big ? 4 : 0);
    EXPECT_EQ(seen.icmp_rest, too_big ? 1400u : 0u);
    const size_t most = std::min<size_t>(way_back.mtu, v4() ? 576 : 1280);
    const size_t quoted_bytes = std::min(arrived.size(), most - added_bytes());
    ASSERT_EQ(seen.quoted, test::Slice(arrived, 0, quoted_bytes)) << trial;
  }
}

TEST_P(IcmpAnswer, NeedsRoomInFront) {
  test::Random random(2);
  const Bytes frame = SomeFrame(random, GetParam());
  const test::ExactBuffer buffer(frame, added_bytes() - 1);
  net::Packet packet = buffer.packet();
  const auto parsed = net::ParsePacket(packet, test::kPortMac[0]);
  EXPECT_FALSE(WriteIcmpAnswer({Verdict::kTtlExceeded}, box(), kWayBack, parsed, packet));
  EXPECT_EQ(test::BytesOf(packet), frame);
}

TEST_P(IcmpAnswer, MtuIsNeverLessThanEveryLinkCarries) {
  const uint16_t least = v4() ? 68 : 1280;
  EXPECT_EQ(MtuForSender(GetParam(), 1500, 0), 1500);
  EXPECT_EQ(MtuForSender(GetParam(), 1500, 20), 1480);
  EXPECT_EQ(MtuForSender(GetParam(), 1500, -20), 1520) << "an IPv4 header where IPv6 came in";
  EXPECT_EQ(MtuForSender(GetParam(), least, 8), least);
  EXPECT_EQ(MtuForSender(GetParam(), 0, 8), least);
}

// --- to whom -------------------------------------------------------------------------------------

class MayBeAnsweredTest : public testing::Test {
 protected:
  MayBeAnsweredTest() {
    snapshot_.own_addresses = std::make_shared<AddressSet>(AddressSet{Address("192.0.2.1")});
    NetworkDescription network;
    network.addresses[{0, Address("10.0.1.1")}] = 24;
    network.addresses[{0, Address("fd00:1::1")}] = 64;
    snapshot_.network = std::make_shared<Network>(network, std::vector<PortInfo>(1));
  }
  bool Asks(const Bytes& frame, const net::MacAddress& mac = test::kPortMac[0]) {
    const test::ExactBuffer buffer(frame);
    return MayBeAnswered(snapshot_, net::ParsePacket(buffer.packet(), mac), buffer.packet());
  }
  static Bytes Datagram(const char* source, const char* destination) {
    return test::UdpFrame({.source = Host(source, 1), .destination = Host(destination, 2)});
  }
  Snapshot snapshot_;
};

TEST_F(MayBeAnsweredTest, OneHostOnEachSide) {
  EXPECT_TRUE(Asks(Datagram("198.51.100.7", "192.0.2.1")));
  EXPECT_TRUE(Asks(Datagram("2001:db8:7::7", "2001:db8::1")));
  for (const char* nobody : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"}) {
    EXPECT_FALSE(Asks(Datagram(nobody, "192.0.2.1"))) << nobody;
    EXPECT_FALSE(Asks(Datagram("198.51.100.7", nobody))) << nobody;
  }
  for (const char* nobody : {"::", "::1", "ff02::1", "ff0e::1"}) {
    EXPECT_FALSE(Asks(Datagram(nobody, "2001:db8::1"))) << nobody;
    EXPECT_FALSE(Asks(Datagram("2001:db8:7::7", nobody))) << nobody;
  }
}

TEST_F(MayBeAnsweredTest, NotTheBoxItself) {
  for (const auto& [source, destination] : {std::pair("192.0.2.1", "198.51.100.7"),
                                            {"10.0.1.1", "192.0.2.1"},
                                            {"fd00:1::1", "2001:db8::1"}})
    EXPECT_FALSE(Asks(Datagram(source, destination))) << source;
}

TEST_F(MayBeAnsweredTest, NotABroadcastOnTheLink) {
  constexpr net::MacAddress kGroups[] = {{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
                                         {{0x01, 0x00, 0x5e, 0, 0, 1}}};
  for (const net::MacAddress& group : kGroups) {
    Bytes frame = Datagram("198.51.100.7", "192.0.2.1");
    std::copy_n(group.bytes.begin(), 6, frame.begin());
    EXPECT_FALSE(Asks(frame, group));
  }
}

TEST_F(MayBeAnsweredTest, NotAnErrorNorAFragment) {
  for (const bool v4 : {true, false}) {
    const net::IpAddress source = Address(v4 ? "198.51.100.7" : "2001:db8:7::7");
    const net::IpAddress vip = Address(v4 ? "192.0.2.1" : "2001:db8::1");
    const Bytes quoted = IpPacketOf(
        test::UdpFrame({.source = {vip, net::Be16(1)}, .destination = {source, net::Be16(2)}}));
    EXPECT_FALSE(Asks(test::IcmpFrame(source, vip, v4 ? 3 : 1, 0, 0, quoted)));
  }
  for (const uint16_t flags_and_offset : std::array<uint16_t, 3>{0x2000, 0x2008, 0x0008})
    EXPECT_FALSE(Asks(test::UdpFrame({.source = Host("198.51.100.7", 1),
                                      .destination = Host("192.0.2.1", 2),
                                      .payload = test::Pattern(64)},
                                     {.flags_and_offset = flags_and_offset})));
  for (const uint8_t offset_and_more : std::array<uint8_t, 3>{0x01, 0x08, 0x09})
    EXPECT_FALSE(Asks(
        test::UdpFrame({.source = Host("2001:db8:7::7", 1), .destination = Host("2001:db8::1", 2)},
                       {.extensions = {17, 0, 0, offset_and_more, 0, 0, 0, 7},
                        .first_extension = net::kIpv6Fragment})));
}

// --- from where ----------------------------------------------------------------------------------

TEST(AnswerSource, IsWhatTheReceiverKnows) {
  Snapshot snapshot;
  const net::IpAddress vip = Address("10.0.1.10");
  snapshot.own_addresses = std::make_shared<AddressSet>(AddressSet{vip, Address("10.0.2.100")});
  NetworkDescription network;
  for (const char* address : {"10.0.1.10", "10.0.1.20"})
    network.addresses[{0, Address(address)}] = 24;
  network.addresses[{1, Address("10.0.2.100")}] = 32;
  network.addresses[{1, Address("fd00:2::1")}] = 64;
  network.addresses[{{}, Address("192.0.2.80")}] = 32;
  snapshot.network = std::make_shared<Network>(network, std::vector<PortInfo>(2));
  const auto source = [&](PortId in_port, const char* destination) {
    return net::ToString(AnswerSource(snapshot, in_port, Address(destination)));
  };
  EXPECT_EQ(source(1, "10.0.1.10"), "10.0.1.10") << "a VIP, wherever it came in";
  EXPECT_EQ(source(1, "10.0.2.100"), "10.0.2.100") << "a local address";
  EXPECT_EQ(source(0, "192.0.2.80"), "192.0.2.80") << "any other address of the box";
  EXPECT_EQ(source(0, "203.0.113.1"), "10.0.1.20") << "the port's, rather than a VIP on it";
  EXPECT_EQ(source(1, "203.0.113.1"), "10.0.2.100") << "there is no other";
  EXPECT_EQ(source(1, "2001:db8::1"), "fd00:2::1");
  EXPECT_EQ(source(0, "2001:db8::1"), "2001:db8::1") << "there is none";
}

}  // namespace
}  // namespace steelyard::core
