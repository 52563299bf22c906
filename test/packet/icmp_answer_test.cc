// SPDX-License-Identifier: Apache-2.0
//
// What senders are told of packets that go no further: path-MTU discovery (RFC 1191, RFC 8201) and
// traceroute work through the box. That answers are well-formed and quote what arrived, box.h holds
// for every packet.
#include "packet/connection.h"

namespace steelyard::test {
namespace {

using net::kTcpAck;
using net::Verdict;

constexpr uint16_t kNarrowMtu = 1300;

class IcmpAnswer : public testing::TestWithParam<FamilyCase> {
 protected:
  IcmpAnswer() { box.AddUsualServices(); }
  bool v4() const { return family.client.address.is_v4(); }
  void SetMtu(core::PortId port, uint16_t mtu) {
    box.ports[port].mtu = mtu;
    box.Compile();
  }
  // A datagram of that many bytes with its IP header.
  Datagram OfBytes(size_t bytes) const {
    return {.source = family.client,
            .destination = family.vip,
            .payload = Pattern(bytes - family.ip_header_bytes - 8u)};
  }
  uint64_t Suppressed() { return box.worker().counters.icmp_errors_suppressed.value(); }

  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, IcmpAnswer, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(IcmpAnswer, ClientHearsOfTheNarrowWayToTheBackend) {
  SetMtu(kBackendPort, kNarrowMtu);
  EXPECT_EQ(box.FromClient(OfBytes(kNarrowMtu)).verdict, Verdict::kForwarded);
  const auto out = box.FromClient(OfBytes(kNarrowMtu + 1));
  EXPECT_EQ(out.verdict, Verdict::kPacketTooBig);
  ASSERT_TRUE(out.answered);
  EXPECT_EQ(out.seen.icmp_rest, kNarrowMtu);
  EXPECT_EQ(out.seen.source.address, family.vip.address);
  EXPECT_EQ(out.out_port, kClientPort);
}

TEST_P(IcmpAnswer, BackendHearsOfTheNarrowWayToTheClient) {
  const auto request = box.FromClient(OfBytes(100));
  SetMtu(kClientPort, kNarrowMtu);
  const auto reply = [&](size_t bytes) {
    return box.FromBackend(Datagram{.source = request.seen.destination,
                                    .destination = request.seen.source,
                                    .payload = Pattern(bytes - family.ip_header_bytes - 8u)});
  };
  EXPECT_EQ(reply(kNarrowMtu).verdict, Verdict::kForwarded);
  const auto out = reply(kNarrowMtu + 1);
  EXPECT_EQ(out.verdict, Verdict::kPacketTooBig);
  ASSERT_TRUE(out.answered);
  EXPECT_EQ(out.seen.icmp_rest, kNarrowMtu);
  EXPECT_EQ(out.seen.source.address, family.local);
  EXPECT_EQ(out.out_port, kBackendPort);
}

TEST_P(IcmpAnswer, MtuOfARouteCountsLikeAPorts) {
  const auto prefix = *net::ParsePrefix(v4() ? "10.0.2.0/24" : "fd00:2::/64");
  box.routes.routes[prefix] = {{kBackendPort, {}, kNarrowMtu}};
  box.Compile();
  EXPECT_EQ(box.FromClient(OfBytes(kNarrowMtu)).verdict, Verdict::kForwarded);
  const auto out = box.FromClient(OfBytes(kNarrowMtu + 1));
  ASSERT_TRUE(out.answered);
  EXPECT_EQ(out.seen.icmp_rest, kNarrowMtu);
}

// The law of path-MTU discovery: a segment as large as the sender was told goes through with all
// that the box adds to it.
TEST_P(IcmpAnswer, WhatIsToldFits) {
  for (const auto carrier : {core::ClientAddressCarrier::kNone, core::ClientAddressCarrier::kToa,
                             core::ClientAddressCarrier::kProxyV2}) {
    for (core::Service& service : box.services) service.client_address.carrier = carrier;
    SetMtu(kBackendPort, 1500);
    Connection connection(box, family, static_cast<uint16_t>(40000 + static_cast<int>(carrier)));
    connection.Open();
    SetMtu(kBackendPort, 1400);
    const size_t headers = family.ip_header_bytes + 20u;
    const auto refused = box.FromClient(connection.ToVip(kTcpAck, {}, Pattern(1500 - headers)));
    EXPECT_EQ(refused.verdict, Verdict::kPacketTooBig);
    ASSERT_TRUE(refused.answered);
    EXPECT_LE(refused.seen.icmp_rest, 1400u);
    const auto passed =
        connection.FromClient(kTcpAck, {}, Pattern(refused.seen.icmp_rest - headers));
    EXPECT_EQ(passed.verdict, Verdict::kForwarded);
    EXPECT_EQ(passed.seen.l3_bytes, 1400u) << "and nothing was left out for it";
  }
}

// Whoever allows fragments is not told to send smaller packets.
TEST_P(IcmpAnswer, OnlyWhoForbidsFragmentsHearsOfAnMtu) {
  SetMtu(kBackendPort, kNarrowMtu);
  const auto out = box.FromClient(OfBytes(kNarrowMtu + 1), {.flags_and_offset = 0});
  EXPECT_EQ(out.answered, !v4());
  EXPECT_EQ(out.leaves_in_fragments, v4());
}

TEST_P(IcmpAnswer, TtlRunsOut) {
  for (const uint8_t ttl : {uint8_t{0}, uint8_t{1}}) {
    const auto out = box.FromClient(OfBytes(100), {.ttl = ttl});
    EXPECT_EQ(out.verdict, Verdict::kTtlExceeded);
    ASSERT_TRUE(out.answered);
    EXPECT_EQ(out.seen.source.address, family.vip.address);
    EXPECT_EQ(out.seen.quoted.size(), 100u);
    EXPECT_EQ(Dissect(Frame(out.seen.quoted)).ttl, ttl);
  }
  EXPECT_EQ(box.FromClient(OfBytes(100), {.ttl = 2}).verdict, Verdict::kForwarded);
}

// Whoever traces the way to the service takes no room in the table and nobody's turn.
TEST_P(IcmpAnswer, AFirstPacketOutOfTtlOpensNoSession) {
  for (const core::ForwardingMode* mode : {&core::FullNat(), &core::Dnat(), &core::Tunnel()}) {
    Box traced;
    traced.mode = mode;
    traced.AddUsualServices(2);
    const Bytes syn = TcpFrame(
        {.source = family.client, .destination = family.vip, .flags = net::kTcpSyn}, {.ttl = 1});
    for (const Bytes& frame : {syn, UdpFrame(OfBytes(100), {.ttl = 1})}) {
      const auto out = traced.Receive(kClientPort, frame);
      EXPECT_EQ(out.verdict, Verdict::kTtlExceeded) << mode->name();
      EXPECT_TRUE(out.answered);
    }
    EXPECT_EQ(traced.worker().counters.sessions_created.value(), 0u);
    EXPECT_EQ(traced.sessions().size(), 0u);
    for (const uint32_t cursor : traced.worker().scheduler_cursors) ASSERT_EQ(cursor, 0u);
  }
}

TEST_P(IcmpAnswer, PaddingIsNotQuoted) {
  Bytes frame = UdpFrame(OfBytes(family.ip_header_bytes + 8u), {.ttl = 1});
  const size_t whole = frame.size() - 14;
  frame.resize(frame.size() + 20, 0xee);
  const auto out = box.Receive(kClientPort, frame);
  ASSERT_TRUE(out.answered);
  EXPECT_EQ(out.seen.quoted.size(), whole);
}

TEST_P(IcmpAnswer, AnErrorIsNotAnswered) {
  Connection connection(box, family);
  connection.Open();
  const auto sent = connection.FromClient(kTcpAck);
  const Bytes quoted = Slice(sent.frame, 14, sent.frame.size());
  const auto out = box.Receive(kBackendPort, IcmpFrame(family.router, sent.seen.source.address,
                                                       v4() ? 3 : 1, 0, 0, quoted, {.ttl = 1}));
  EXPECT_EQ(out.verdict, Verdict::kTtlExceeded);
  EXPECT_FALSE(out.answered);
}

TEST_P(IcmpAnswer, TheBoxDoesNotAnswerItself) {
  Datagram datagram = OfBytes(100);
  datagram.source.address = family.local;
  const auto out = box.FromClient(datagram, {.ttl = 1});
  EXPECT_EQ(out.verdict, Verdict::kTtlExceeded);
  EXPECT_FALSE(out.answered);
}

TEST_P(IcmpAnswer, NoNeighbourNoAnswerButItIsAskedFor) {
  Datagram datagram = OfBytes(100);
  datagram.source.address = Address(v4() ? "10.0.1.99" : "fd00:1::99");
  const auto out = box.FromClient(datagram, {.ttl = 1});
  EXPECT_EQ(out.verdict, Verdict::kTtlExceeded);
  EXPECT_FALSE(out.answered);
  EXPECT_EQ(box.MissingNeighbours(),
            (std::vector<core::Neighbour>{{kClientPort, datagram.source.address}}));
}

TEST_P(IcmpAnswer, NoRouteNoAnswer) {
  box.routes.routes.erase(*net::ParsePrefix(v4() ? "0.0.0.0/0" : "::/0"));
  box.Compile();
  const auto out = box.FromClient(OfBytes(100), {.ttl = 1});
  EXPECT_EQ(out.verdict, Verdict::kTtlExceeded);
  EXPECT_FALSE(out.answered);
}

TEST_P(IcmpAnswer, AreLimitedAndTheRestCounted) {
  uint32_t answered = 0;
  for (uint32_t i = 0; i < 3 * core::kIcmpErrorsAtOnce; ++i)
    answered += box.FromClient(OfBytes(100), {.ttl = 1}).answered;
  EXPECT_EQ(answered, core::kIcmpErrorsAtOnce);
  EXPECT_EQ(Suppressed(), 2 * core::kIcmpErrorsAtOnce);
  box.Pass(20);
  for (uint32_t i = 0; i < core::kIcmpErrorsAtOnce; ++i)
    answered += box.FromClient(OfBytes(100), {.ttl = 1}).answered;
  EXPECT_EQ(answered, core::kIcmpErrorsAtOnce + core::kIcmpErrorsPerSecond / 50);
}

TEST_P(IcmpAnswer, OfOneBurstOnlyWhatIsRefusedIsAnswered) {
  std::vector<Bytes> frames;
  for (int i = 0; i < 32; ++i)
    frames.push_back(UdpFrame(OfBytes(100), {.ttl = static_cast<uint8_t>(i % 3 == 0 ? 1 : 64)}));
  for (int round = 0; round < 2; ++round) {
    const auto outcomes = box.ReceiveBurst(kClientPort, frames);
    for (size_t i = 0; i < frames.size(); ++i) {
      EXPECT_EQ(outcomes[i].answered, i % 3 == 0) << i;
      EXPECT_EQ(outcomes[i].verdict, i % 3 == 0 ? Verdict::kTtlExceeded : Verdict::kForwarded);
    }
  }
}

// A packet that did not pass is none of the connection.
TEST_P(IcmpAnswer, ChangesNothingInTheSession) {
  Connection connection(box, family);
  connection.Open();
  SetMtu(kBackendPort, kNarrowMtu);
  connection.FromClient(kTcpAck);
  const core::FlowState before = *connection.state();
  box.Pass(1000);
  EXPECT_TRUE(box.FromClient(connection.ToVip(kTcpAck, {}, Pattern(1400))).answered);
  EXPECT_TRUE(box.FromClient(connection.ToVip(net::kTcpFin | kTcpAck), {.ttl = 1}).answered);
  EXPECT_EQ(connection.state()->last_seen_ms, before.last_seen_ms);
  EXPECT_EQ(connection.state()->packets, before.packets);
  EXPECT_EQ(connection.state()->tcp_state, before.tcp_state);
}

}  // namespace
}  // namespace steelyard::test
