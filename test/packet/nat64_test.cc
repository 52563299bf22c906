// SPDX-License-Identifier: Apache-2.0
//
// Full NAT between address families, both ways: headers, ICMP errors and MTUs as RFC 7915 says.
#include "packet/connection.h"

namespace steelyard::test {
namespace {

using core::ClientAddressCarrier;
using net::kTcpAck;
using net::kTcpSyn;
using net::L4Protocol;
using net::Verdict;

// The client's side and the other one.
struct Side {
  const char* name;
  net::Endpoint client, vip;
  net::IpAddress local;
  net::Endpoint (*backend)(uint8_t number);
  net::IpAddress client_router, backend_router;
  int client_ip_bytes, backend_ip_bytes;
  int option_bytes;
};
const Side kSides[] = {
    {"Nat64", kClient6, kVip6, kLocal4, Backend4, Address("2001:db8:99::1"),
     Address("203.0.113.77"), 40, 20, 20},
    {"Nat46", kClient4, kVip4, kLocal6, Backend6, Address("203.0.113.77"),
     Address("2001:db8:99::1"), 20, 40, 8},
};

std::string SideName(const testing::TestParamInfo<Side>& info) {
  return info.param.name;
}

class Nat64 : public testing::TestWithParam<Side> {
 protected:
  Nat64() { Configure(box); }
  void Configure(Box& of) {
    for (const L4Protocol protocol : {L4Protocol::kTcp, L4Protocol::kUdp}) {
      core::Service& service = of.AddService(side.vip, protocol);
      service.backends[0].endpoint = side.backend(0);
      service.local_addresses = {side.local};
    }
    of.Compile();
  }
  bool from_v6() const { return !side.client.address.is_v4(); }
  void Carry(const core::ClientAddress& client_address) {
    for (const L4Protocol protocol : {L4Protocol::kTcp, L4Protocol::kUdp})
      box.service(side.vip, protocol).client_address = client_address;
    box.Compile();
  }
  Datagram Request(const Bytes& payload = Pattern(21)) const {
    return {.source = side.client, .destination = side.vip, .payload = payload};
  }
  // Opens the session; from there on the backend knows whom to answer.
  Datagram Reply(const Bytes& payload = Pattern(30)) {
    const auto request = box.FromClient(Request());
    return {
        .source = request.seen.destination, .destination = request.seen.source, .payload = payload};
  }
  FamilyCase AsFamilyCase() const {
    return {side.name, side.client, side.vip, side.local, side.client_router, side.backend, 0, 0};
  }
  static Bytes IpPacketOf(const Bytes& frame) { return Slice(frame, 14, frame.size()); }
  static uint16_t FlagsAndOffset(const Bytes& frame) { return Get16(frame, 20); }
  static uint16_t Identification(const Bytes& frame) { return Get16(frame, 18); }

  const Side& side = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Side, Nat64, testing::ValuesIn(kSides), SideName);

TEST_P(Nat64, DatagramsBothWays) {
  const auto out = box.FromClient(Request(), {.ttl = 9, .dscp_and_ecn = 0xb9});
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.trouble, "");
  EXPECT_EQ(out.seen.source.address, side.local);
  EXPECT_EQ(out.seen.destination, side.backend(0));
  EXPECT_EQ(out.seen.ttl, 8);
  EXPECT_EQ(out.seen.dscp_and_ecn, 0xb9);
  EXPECT_EQ(out.seen.payload, Pattern(21));
  const auto back =
      box.FromBackend(Datagram{.source = out.seen.destination, .destination = out.seen.source});
  ASSERT_EQ(back.verdict, Verdict::kForwarded);
  EXPECT_EQ(back.seen.trouble, "");
  EXPECT_EQ(back.seen.source, side.vip);
  EXPECT_EQ(back.seen.destination, side.client);
}

TEST_P(Nat64, ConnectionsBothWays) {
  const FamilyCase family = AsFamilyCase();
  Connection connection(box, family);
  connection.Open();
  for (size_t bytes = 0; bytes < 1200; bytes += 97) {
    const uint32_t sequence = connection.client_next + connection.delta;
    const auto out = connection.FromClient(kTcpAck, TimestampsOption(1, 2), Pattern(bytes));
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.seen.sequence, sequence);
    const auto back = connection.FromBackend(kTcpAck, {}, Pattern(bytes, 9));
    ASSERT_EQ(back.verdict, Verdict::kForwarded);
    EXPECT_EQ(back.seen.destination, side.client);
    EXPECT_EQ(back.seen.acknowledgment, connection.client_next);
  }
}

TEST_P(Nat64, TheClientsAddressIsInItsOwnFamilysForm) {
  Carry({.carrier = ClientAddressCarrier::kToa});
  const FamilyCase family = AsFamilyCase();
  Connection connection(box, family);
  connection.FromClient(kTcpSyn, MssOption(1440));
  connection.FromBackend(kTcpSyn | kTcpAck);
  const auto ack = connection.FromClient(kTcpAck, {}, Pattern(9));
  ASSERT_EQ(ack.verdict, Verdict::kForwarded);
  EXPECT_EQ(ack.seen.options.at(254), ClientAddressOption(254, side.client));
  EXPECT_EQ(ack.seen.options.at(254).size(), static_cast<size_t>(side.option_bytes));
}

TEST_P(Nat64, NothingIsAddedPastTheHeadroom) {
  Carry({.carrier = ClientAddressCarrier::kToa});
  const FamilyCase family = AsFamilyCase();
  Connection connection(box, family);
  connection.Open();
  const int growth = side.backend_ip_bytes - side.client_ip_bytes;
  for (int headroom = 0; headroom < 64; ++headroom) {
    const auto out =
        box.ReceiveBurst(kClientPort, {TcpFrame(connection.ToVip(kTcpAck, {}, Pattern(9)))},
                         static_cast<uint32_t>(headroom));
    if (headroom < growth) {
      EXPECT_EQ(out[0].verdict, Verdict::kPacketTooBig) << headroom;
      continue;
    }
    ASSERT_EQ(out[0].verdict, Verdict::kForwarded) << headroom;
    EXPECT_EQ(out[0].seen.options.contains(254), headroom - growth >= side.option_bytes);
  }
}

TEST_P(Nat64, TheProxyHeaderIsOfTheClientsFamily) {
  Carry({.carrier = ClientAddressCarrier::kProxyV2});
  const auto datagram = box.FromClient(Request());
  ASSERT_EQ(datagram.verdict, Verdict::kForwarded);
  EXPECT_EQ(datagram.seen.payload, Concat({ProxyHeader(side.client, side.vip, 17), Pattern(21)}));
  const FamilyCase family = AsFamilyCase();
  Connection connection(box, family);
  connection.Open();
  const auto out = connection.FromClient(kTcpAck, {}, Pattern(50));
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.trouble, "");
  EXPECT_EQ(out.seen.payload, Concat({ProxyHeader(side.client, side.vip, 6), Pattern(50)}));
}

// Both links carry 1500 bytes, so IPv6's header decides.
TEST_P(Nat64, SegmentsFitIpv6) {
  const FamilyCase family = AsFamilyCase();
  Connection connection(box, family);
  EXPECT_EQ(connection.FromClient(kTcpSyn, MssOption(1460)).seen.mss(), 1440);
  EXPECT_EQ(connection.FromBackend(kTcpSyn | kTcpAck, MssOption(1460)).seen.mss(), 1440);
  box.ports[kBackendPort].mtu = 1400;
  box.Compile();
  Connection other(box, family, 40001);
  EXPECT_EQ(other.FromClient(kTcpSyn, MssOption(1460)).seen.mss(),
            1400 - side.backend_ip_bytes - 20);
  EXPECT_EQ(other.FromBackend(kTcpSyn | kTcpAck, MssOption(1460)).seen.mss(),
            1400 - side.backend_ip_bytes - 20);
}

// RFC 7915 section 5.1: an IPv6 sender that is told of less than 1280 sends 1280.
TEST_P(Nat64, Ipv4MayBeFragmentedUpTo1260Bytes) {
  std::vector<uint16_t> identifications;
  for (const size_t bytes : {100u, 1259u, 1260u, 1261u, 1400u}) {
    const Bytes payload = Pattern(bytes - 28);
    const auto out = from_v6() ? box.FromClient(Request(payload)) : box.FromBackend(Reply(payload));
    ASSERT_EQ(out.verdict, Verdict::kForwarded) << bytes;
    ASSERT_EQ(out.seen.l3_bytes, bytes);
    EXPECT_EQ(FlagsAndOffset(out.frame), bytes <= 1260 ? 0 : 0x4000) << bytes;
    identifications.push_back(Identification(out.frame));
  }
  EXPECT_NE(identifications[0], identifications[1]);
  EXPECT_NE(identifications[1], identifications[2]);
}

TEST_P(Nat64, Ipv6PacketsHaveNeitherFragmentHeaderNorFlowLabel) {
  const auto out = from_v6() ? box.FromBackend(Reply()) : box.FromClient(Request());
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.frame.at(20), 17) << "next header";
  EXPECT_EQ(Get32(out.frame, 14) & 0xfffff, 0u) << "flow label";
}

// RFC 7915 section 4: what may be fragmented fits every IPv6 link afterwards; what may not goes as
// it is or its sender is told.
TEST_P(Nat64, LargeIpv4PacketsWithoutDf) {
  for (const bool dont_fragment : {false, true})
    for (const size_t ipv4_bytes : {1260u, 1261u, 1480u, 1500u}) {
      const IpFields fields{.flags_and_offset = static_cast<uint16_t>(dont_fragment ? 0x4000 : 0)};
      const Bytes payload = Pattern(ipv4_bytes - 28);
      const auto out = from_v6() ? box.FromBackend(Reply(payload), fields)
                                 : box.FromClient(Request(payload), fields);
      if (dont_fragment && ipv4_bytes > 1480) {
        EXPECT_EQ(out.verdict, Verdict::kPacketTooBig);
        EXPECT_TRUE(out.answered);
        EXPECT_EQ(out.seen.icmp_rest, 1480u);
        continue;
      }
      ASSERT_EQ(out.verdict, Verdict::kForwarded);
      EXPECT_EQ(out.leaves_in_fragments, !dont_fragment && ipv4_bytes > 1260) << ipv4_bytes;
    }
}

TEST_P(Nat64, TooBigForTheNextLinkIsToldInTheSendersTerms) {
  box.ports[kBackendPort].mtu = 1400;
  box.Compile();
  const auto out = box.FromClient(Request(Pattern(1452)));
  EXPECT_EQ(out.verdict, Verdict::kPacketTooBig);
  EXPECT_TRUE(out.answered);
  EXPECT_EQ(out.seen.icmp_rest,
            static_cast<uint32_t>(1400 + side.client_ip_bytes - side.backend_ip_bytes));
  // And what the sender makes of it fits.
  EXPECT_EQ(box.FromClient(Request(Pattern(1400u - side.backend_ip_bytes - 8u))).verdict,
            Verdict::kForwarded);
}

// An IPv6 sender goes no lower than 1280: the rest is cut for it.
TEST_P(Nat64, LeastIpv6PacketsAreCutForNarrowIpv4Links) {
  if (!from_v6()) return;
  box.ports[kBackendPort].mtu = 1000;
  box.Compile();
  const auto out = box.FromClient(Request(Pattern(1280 - 48)));
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_TRUE(out.leaves_in_fragments);
  const auto refused = box.FromClient(Request(Pattern(1281 - 48)));
  EXPECT_EQ(refused.verdict, Verdict::kPacketTooBig);
  EXPECT_EQ(refused.seen.icmp_rest, 1280u);
}

TEST_P(Nat64, TtlRunsOut) {
  const auto out = box.FromClient(Request(), {.ttl = 1});
  EXPECT_EQ(out.verdict, Verdict::kTtlExceeded);
  EXPECT_TRUE(out.answered);
}

TEST_P(Nat64, OptionsAndExtensionHeadersStayBehind) {
  const IpFields fields = from_v6()
                              ? IpFields{.extensions = {60, 0, 1, 4, 0,  0, 0, 0, 43, 0, 1, 4,
                                                        0,  0, 0, 0, 17, 0, 4, 0, 0,  0, 0, 0},
                                         .first_extension = 0}
                              : IpFields{.options = {7, 7, 4, 0, 0, 0, 0, 0}};
  const auto out = box.FromClient(Request(), fields);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.trouble, "");
  EXPECT_EQ(out.seen.l3_bytes, static_cast<size_t>(side.backend_ip_bytes) + 8 + 21);
  EXPECT_EQ(out.seen.payload, Pattern(21));
}

// RFC 7915 section 4.5; over IPv6 the checksum is not optional.
TEST_P(Nat64, ADatagramWithoutChecksumGetsOne) {
  for (const size_t bytes : {0u, 1u, 21u, 700u}) {
    Datagram datagram = from_v6() ? Reply(Pattern(bytes)) : Request(Pattern(bytes));
    datagram.without_checksum = true;
    const auto out = from_v6() ? box.FromBackend(datagram) : box.FromClient(datagram);
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.seen.trouble, "");
    EXPECT_NE(out.seen.udp_checksum, 0);
    EXPECT_EQ(out.seen.payload, Pattern(bytes));
  }
}

TEST_P(Nat64, ACorruptDatagramStaysCorrupt) {
  Bytes frame = UdpFrame(Request());
  frame.back() = static_cast<uint8_t>(~frame.back());
  const auto out = box.Receive(kClientPort, frame);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.trouble, "layer 4 checksum");
}

// --- ICMP errors -------------------------------------------------------------------------------

struct ErrorCase {
  uint8_t type, code;
  uint32_t rest;
  int to_type, to_code;  // -1: it has no counterpart
  uint32_t to_rest;
};

// RFC 7915 section 4.2, IPv4 to IPv6.
const ErrorCase kFromIpv4[] = {
    {3, 0, 0, 1, 0, 0},
    {3, 1, 0, 1, 0, 0},
    {3, 2, 0, 4, 1, 6},
    {3, 3, 0, 1, 4, 0},
    {3, 5, 0, 1, 0, 0},
    {3, 6, 0, 1, 0, 0},
    {3, 7, 0, 1, 0, 0},
    {3, 8, 0, 1, 0, 0},
    {3, 9, 0, 1, 1, 0},
    {3, 10, 0, 1, 1, 0},
    {3, 11, 0, 1, 0, 0},
    {3, 12, 0, 1, 0, 0},
    {3, 13, 0, 1, 1, 0},
    {3, 14, 0, -1, 0, 0},
    {3, 15, 0, 1, 1, 0},
    {3, 16, 0, -1, 0, 0},
    {3, 4, 1400, 2, 0, 1420},
    {3, 4, 1000, 2, 0, 1280},
    {3, 4, 9000, 2, 0, 1500},
    {3, 4, 0, 2, 0, 1280},  // the greatest plateau below what is quoted
    {11, 0, 0, 3, 0, 0},
    {11, 1, 0, 3, 1, 0},
    {12, 1, 0, -1, 0, 0},
    {12, 3, 0, -1, 0, 0},
    {12, 0, 0u << 24, 4, 0, 0},
    {12, 0, 1u << 24, 4, 0, 1},
    {12, 2, 2u << 24, 4, 0, 4},
    {12, 0, 3u << 24, 4, 0, 4},
    {12, 0, 4u << 24, -1, 0, 0},
    {12, 0, 6u << 24, -1, 0, 0},
    {12, 0, 8u << 24, 4, 0, 7},
    {12, 0, 9u << 24, 4, 0, 6},
    {12, 0, 10u << 24, -1, 0, 0},
    {12, 0, 12u << 24, 4, 0, 8},
    {12, 0, 15u << 24, 4, 0, 8},
    {12, 0, 16u << 24, 4, 0, 24},
    {12, 0, 19u << 24, 4, 0, 24},
    {12, 0, 20u << 24, -1, 0, 0},
    {12, 0, 255u << 24, -1, 0, 0},
};
// RFC 7915 section 5.2, IPv6 to IPv4.
const ErrorCase kFromIpv6[] = {
    {1, 0, 0, 3, 1, 0},           {1, 1, 0, 3, 10, 0},          {1, 2, 0, 3, 1, 0},
    {1, 3, 0, 3, 1, 0},           {1, 4, 0, 3, 3, 0},           {1, 5, 0, -1, 0, 0},
    {1, 6, 0, -1, 0, 0},          {2, 0, 1400, 3, 4, 1380},     {2, 0, 1280, 3, 4, 1260},
    {2, 0, 9000, 3, 4, 1500},     {2, 0, 68, 3, 4, 1260},  // every IPv6 link carries 1280
    {2, 0, 70000, 3, 4, 1500},    {3, 0, 0, 11, 0, 0},          {3, 1, 0, 11, 1, 0},
    {4, 1, 0, 3, 2, 0},           {4, 2, 0, -1, 0, 0},          {4, 0, 0, 12, 0, 0},
    {4, 0, 1, 12, 0, 1u << 24},   {4, 0, 2, -1, 0, 0},          {4, 0, 3, -1, 0, 0},
    {4, 0, 4, 12, 0, 2u << 24},   {4, 0, 5, 12, 0, 2u << 24},   {4, 0, 6, 12, 0, 9u << 24},
    {4, 0, 7, 12, 0, 8u << 24},   {4, 0, 8, 12, 0, 12u << 24},  {4, 0, 23, 12, 0, 12u << 24},
    {4, 0, 24, 12, 0, 16u << 24}, {4, 0, 39, 12, 0, 16u << 24}, {4, 0, 40, -1, 0, 0},
    {4, 0, 0xffffffff, -1, 0, 0},
};

class Nat64Error : public Nat64 {
 protected:
  // The law: whoever gets the error finds its own packet in it, as far as both families can say it.
  void ExpectTranslated(core::PortId in_port, const Bytes& sent, const Box::Outcome& left,
                        const net::IpAddress& router, const net::IpAddress& new_source) {
    ASSERT_EQ(left.verdict, Verdict::kForwarded);
    const Seen own = Dissect(sent);
    const bool is_v4 = router.is_v4();
    const Bytes quoted = IpPacketOf(left.frame);
    for (const ErrorCase& error :
         is_v4 ? std::span<const ErrorCase>(kFromIpv4) : std::span<const ErrorCase>(kFromIpv6))
      for (size_t l4_bytes = 8; l4_bytes <= left.seen.l4.size(); l4_bytes += 4) {
        SCOPED_TRACE(testing::Message() << +error.type << "/" << +error.code << " " << error.rest
                                        << ", " << l4_bytes << " bytes");
        const size_t bytes = (is_v4 ? 20u : 40u) + l4_bytes;
        const auto out =
            box.Receive(in_port, IcmpFrame(router, left.seen.source.address, error.type, error.code,
                                           error.rest, Slice(quoted, 0, bytes)));
        if (error.to_type < 0) {
          ASSERT_EQ(out.verdict, Verdict::kIcmpUntranslatable);
          continue;
        }
        ASSERT_EQ(out.verdict, Verdict::kForwarded);
        ASSERT_EQ(out.seen.trouble, "");
        EXPECT_EQ(out.seen.source.address, new_source);
        EXPECT_EQ(out.seen.destination.address, own.source.address);
        EXPECT_EQ(out.seen.icmp_type, error.to_type);
        EXPECT_EQ(out.seen.icmp_code, error.to_code);
        EXPECT_EQ(out.seen.icmp_rest, error.to_rest);
        ExpectQuotes(out.seen.quoted, own, sent, l4_bytes);
        if (HasFailure()) return;
      }
  }

  static void ExpectQuotes(const Bytes& quoted, const Seen& own, const Bytes& sent,
                           size_t l4_bytes) {
    const size_t header_bytes = own.source.address.is_v4() ? 20 : 40;
    ASSERT_EQ(quoted.size(), header_bytes + l4_bytes);
    EXPECT_EQ(Slice(quoted, header_bytes, quoted.size()), Slice(own.l4, 0, l4_bytes));
    if (header_bytes == 20) {
      EXPECT_EQ(OnesSum(Slice(quoted, 0, 20)), 0xffff);
      EXPECT_EQ(Slice(quoted, 0, 4), Slice(sent, 14, 18)) << "version, TOS, length";
      EXPECT_EQ(quoted[9], sent[23]) << "protocol";
      EXPECT_EQ(Slice(quoted, 12, 20), Slice(sent, 26, 34)) << "addresses";
    } else {
      EXPECT_EQ(quoted[0] >> 4, 6);
      EXPECT_EQ(Slice(quoted, 4, 7), Slice(sent, 18, 21)) << "length, next header";
      EXPECT_EQ(Slice(quoted, 8, 40), Slice(sent, 22, 54)) << "addresses";
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Side, Nat64Error, testing::ValuesIn(kSides), SideName);

TEST_P(Nat64Error, AboutTheClientsDatagram) {
  const Bytes sent = UdpFrame(Request());
  ExpectTranslated(kBackendPort, sent, box.Receive(kClientPort, sent), side.backend_router,
                   side.vip.address);
}

TEST_P(Nat64Error, AboutTheBackendsDatagram) {
  const Bytes sent = UdpFrame(Reply());
  ExpectTranslated(kClientPort, sent, box.Receive(kBackendPort, sent), side.client_router,
                   side.local);
}

TEST_P(Nat64Error, AboutTheClientsSegment) {
  const FamilyCase family = AsFamilyCase();
  Connection connection(box, family);
  connection.Open();
  const Bytes sent = TcpFrame(connection.ToVip(kTcpAck, TimestampsOption(3, 4), Pattern(25)));
  ExpectTranslated(kBackendPort, sent, box.Receive(kClientPort, sent), side.backend_router,
                   side.vip.address);
}

TEST_P(Nat64Error, AboutTheBackendsSegment) {
  const FamilyCase family = AsFamilyCase();
  Connection connection(box, family);
  connection.Open();
  const Bytes sent = TcpFrame(connection.ToLocal(kTcpAck, {}, Pattern(25)));
  ExpectTranslated(kClientPort, sent, box.Receive(kBackendPort, sent), side.client_router,
                   side.local);
}

// RFC 1191 section 7.1, of a router that tells no MTU.
TEST_P(Nat64Error, PlateausWhereNoMtuIsTold) {
  if (!from_v6()) return;
  const auto left = box.FromClient(Request());
  Bytes quoted = IpPacketOf(left.frame);
  for (const auto& [length, mtu] : {std::pair<uint16_t, uint32_t>{1493, 1500},
                                    {1492, 1280},
                                    {2003, 1500},
                                    {1300, 1280},
                                    {0, 1280},
                                    {65535, 1500}}) {
    Set16(quoted, 2, length);
    const auto out =
        box.Receive(kBackendPort, IcmpFrame(side.backend_router, side.local, 3, 4, 0, quoted));
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.seen.icmp_rest, mtu) << length;
  }
}

TEST_P(Nat64Error, MtuLeavesRoomForTheClientAddress) {
  Carry({.carrier = ClientAddressCarrier::kToa});
  const FamilyCase family = AsFamilyCase();
  Connection connection(box, family);
  connection.Open();
  const auto left = connection.FromClient(kTcpAck, {}, Pattern(900));
  const auto out = box.Receive(
      kBackendPort, IcmpFrame(side.backend_router, side.local, from_v6() ? 3 : 2, from_v6() ? 4 : 0,
                              1400, Slice(IpPacketOf(left.frame), 0, 100)));
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.icmp_rest, static_cast<uint32_t>(1400 + side.client_ip_bytes -
                                                      side.backend_ip_bytes - side.option_bytes));
}

TEST_P(Nat64Error, IsCutToWhatEveryHostTakes) {
  const auto left = box.FromClient(Request(Pattern(1300)));
  const auto out =
      box.Receive(kBackendPort, IcmpFrame(side.backend_router, side.local, from_v6() ? 3 : 1,
                                          from_v6() ? 3 : 4, 0, IpPacketOf(left.frame)));
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.trouble, "");
  EXPECT_EQ(out.seen.l3_bytes, from_v6() ? 1280u : 576u);
}

// RFC 4884: what a router says of itself is hidden like its address.
TEST_P(Nat64Error, ExtensionsAreLeftOut) {
  const auto left = box.FromClient(Request(Pattern(300)));
  Bytes quoted = Slice(IpPacketOf(left.frame), 0, 128);
  Put(quoted, Bytes(20, 0xee));
  const uint32_t length = from_v6() ? 32u << 16 : 16u << 24;
  const auto out = box.Receive(kBackendPort, IcmpFrame(side.backend_router, side.local,
                                                       from_v6() ? 11 : 3, 0, length, quoted));
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.trouble, "");
  EXPECT_EQ(out.seen.icmp_rest, 0u);
  EXPECT_EQ(out.seen.quoted.size(), 128u + side.client_ip_bytes - side.backend_ip_bytes);
}

TEST_P(Nat64Error, WithoutHeadroomIsDropped) {
  const auto left = box.FromClient(Request());
  const Bytes error = IcmpFrame(side.backend_router, side.local, from_v6() ? 3 : 1,
                                from_v6() ? 3 : 4, 0, IpPacketOf(left.frame));
  for (uint32_t headroom = 0; headroom < 48; ++headroom)
    EXPECT_EQ(box.ReceiveBurst(kBackendPort, {error}, headroom)[0].verdict,
              from_v6() && headroom < 40 ? Verdict::kPacketTooBig : Verdict::kForwarded);
}

// --- fragments ---------------------------------------------------------------------------------

TEST_P(Nat64, FragmentsArePutTogetherAndMadeAnew) {
  Box whole({.reassembly = {.datagrams = 4, .datagrams_per_source = 4}});
  Configure(whole);
  const Bytes payload = Pattern(3000);
  const Bytes frame = UdpFrame(Request(payload), {.flags_and_offset = 0});
  for (const Bytes& fragment : Fragments(frame, {1232, 2464}))
    EXPECT_EQ(whole.Receive(kClientPort, fragment).verdict, Verdict::kConsumed);
  core::Burst burst;
  burst.in_port = kClientPort;
  whole.worker().reassembler->TakeComplete(burst);
  ASSERT_EQ(burst.count, 1u);
  whole.pipeline().Process(whole.snapshot, burst, whole.now_ns);
  ASSERT_EQ(burst.verdict[0], Verdict::kForwarded);
  ASSERT_TRUE(burst.LeavesInFragments(0));
  EXPECT_EQ(burst.fragment_mtu[0], from_v6() ? 1260 : 1280);
  const Seen seen = Dissect(BytesOf(burst.packet[0]));
  EXPECT_EQ(seen.trouble, "");
  EXPECT_EQ(seen.payload, payload);
  EXPECT_EQ(seen.destination, side.backend(0));
  whole.worker().reassembler->ReleaseTaken();
}

}  // namespace
}  // namespace steelyard::test
