// SPDX-License-Identifier: Apache-2.0
//
// SNAT: outbound gateways. Inside are the hosts behind kBackendPort, outside is everybody else.
#include <gtest/gtest.h>

#include <set>

#include "packet/connection.h"

namespace steelyard::test {
namespace {

using net::Endpoint;
using net::kTcpAck;
using net::kTcpFin;
using net::kTcpRst;
using net::kTcpSyn;
using net::L4Protocol;
using net::Verdict;

struct SnatCase {
  const char* name;
  net::IpAddress outside;
  Endpoint inside, other_inside, remote, other_remote;
  net::IpAddress router;
  bool is_v4() const { return outside.is_v4(); }
  L4Protocol icmp() const { return is_v4() ? L4Protocol::kIcmp : L4Protocol::kIcmpv6; }
  uint8_t echo_request() const { return is_v4() ? 8 : 128; }
  uint8_t echo_reply() const { return is_v4() ? 0 : 129; }
};
const SnatCase kSnatCases[] = {
    {"IPv4",
     kOutside4,
     {Backend4(0).address, net::Be16(5000)},
     {Backend4(1).address, net::Be16(6000)},
     Host("203.0.113.9", 443),
     Host("203.0.113.10", 443),
     Address("203.0.113.77")},
    {"IPv6",
     kOutside6,
     {Backend6(0).address, net::Be16(5000)},
     {Backend6(1).address, net::Be16(6000)},
     Host("2001:db8:9::9", 443),
     Host("2001:db8:9::10", 443),
     Address("2001:db8:99::1")},
};

std::string SnatName(const testing::TestParamInfo<SnatCase>& tested) {
  return tested.param.name;
}

class SnatTest : public testing::TestWithParam<SnatCase> {
 protected:
  SnatTest() : box({.capacity = {4096, 4096}, .reassembly = {8, 8}}) {
    box.AddGateway();
    box.Compile();
  }
  core::Service& gateway() { return box.gateways.front().service; }
  const core::ServiceCounters& counters() {
    return box.worker().services[box.snapshot.services.back()->slot];
  }

  Box::Outcome Out(const Endpoint& source, const Endpoint& destination) {
    return box.FromBackend(
        Datagram{.source = source, .destination = destination, .payload = Pattern(30)});
  }
  Box::Outcome In(const Endpoint& source, const Endpoint& destination) {
    return box.FromClient(
        Datagram{.source = source, .destination = destination, .payload = Pattern(40)});
  }
  Bytes Echo(const net::IpAddress& source, const net::IpAddress& destination, uint8_t type,
             uint16_t identifier, uint16_t sequence, size_t bytes = 56,
             const IpFields& fields = {}) {
    return IcmpFrame(source, destination, type, 0, uint32_t{identifier} << 16 | sequence,
                     Pattern(bytes), fields);
  }
  // An Expire() goes through a few seconds of empty time at most.
  void Wait(uint64_t milliseconds) {
    box.Pass(milliseconds);
    for (uint64_t i = 0; i < milliseconds / 1000 + 2; ++i) box.Expire();
  }
  const SnatCase& c = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, SnatTest, testing::ValuesIn(kSnatCases), SnatName);

TEST_P(SnatTest, DatagramsLeaveWithAnOutsideAddressAndAnswersComeIn) {
  const auto request = Out(c.inside, c.remote);
  ASSERT_EQ(request.verdict, Verdict::kForwarded);
  EXPECT_EQ(request.out_port, kClientPort);
  EXPECT_EQ(request.seen.source.address, c.outside);
  EXPECT_GE(request.seen.source.port.value(), 1024);
  EXPECT_EQ(request.seen.destination, c.remote);

  const auto reply = In(c.remote, request.seen.source);
  EXPECT_EQ(reply.out_port, kBackendPort);
  EXPECT_EQ(reply.seen.source, c.remote);
  EXPECT_EQ(reply.seen.destination, c.inside);
  EXPECT_EQ(Out(c.inside, c.remote).seen.source, request.seen.source) << "the flow keeps its port";
}

TEST_P(SnatTest, OnlyWhomTheFlowIsToGetsIn) {
  const auto request = Out(c.inside, c.remote);
  EXPECT_EQ(In(c.other_remote, request.seen.source).verdict, Verdict::kPunted);
  const Endpoint other_port{c.remote.address, net::Be16(1)};
  EXPECT_EQ(In(other_port, request.seen.source).verdict, Verdict::kPunted);
}

TEST_P(SnatTest, AConnectionFromInside) {
  const auto segment = [&](const Endpoint& from, const Endpoint& to, uint8_t flags) {
    return Segment{.source = from, .destination = to, .flags = flags};
  };
  const auto syn = box.FromBackend(segment(c.inside, c.remote, kTcpSyn));
  ASSERT_EQ(syn.verdict, Verdict::kForwarded);
  const Endpoint outside = syn.seen.source;
  EXPECT_EQ(outside.address, c.outside);
  EXPECT_EQ(syn.seen.sequence, 1000u) << "no clock of the box's";
  EXPECT_EQ(box.FromClient(segment(c.remote, outside, kTcpSyn | kTcpAck)).seen.destination,
            c.inside);
  box.FromBackend(segment(c.inside, c.remote, kTcpAck));
  const core::FlowState* state = box.StateOf({c.inside, c.remote, L4Protocol::kTcp});
  ASSERT_NE(state, nullptr);
  EXPECT_EQ(state->tcp_state, core::TcpState::kEstablished);
  box.FromBackend(segment(c.inside, c.remote, kTcpAck | kTcpFin));
  box.FromClient(segment(c.remote, outside, kTcpAck | kTcpFin));
  EXPECT_EQ(state->tcp_state, core::TcpState::kLastAck);
  EXPECT_EQ(counters().sessions_active(), 1u);
}

// A segment that opens nothing may be an answer to what came in by the kernel's routes.
TEST_P(SnatTest, WhatOpensNothingIsTheKernels) {
  for (const uint8_t flags : {uint8_t{kTcpSyn | kTcpAck}, uint8_t{kTcpAck}, uint8_t{kTcpRst}})
    EXPECT_EQ(box.FromBackend(Segment{.source = c.inside, .destination = c.remote, .flags = flags})
                  .verdict,
              Verdict::kPunted);
  EXPECT_EQ(
      box.Receive(kBackendPort, Echo(c.inside.address, c.remote.address, c.echo_reply(), 7, 1))
          .verdict,
      Verdict::kPunted);
  EXPECT_EQ(box.sessions().size(), 0u);
}

TEST_P(SnatTest, PingsAreToldApartByIdentifier) {
  const auto ping = [&](const net::IpAddress& from, uint16_t identifier, uint16_t sequence) {
    return box.Receive(kBackendPort,
                       Echo(from, c.remote.address, c.echo_request(), identifier, sequence));
  };
  const auto first = ping(c.inside.address, 77, 1);
  const auto second = ping(c.other_inside.address, 77, 1);
  ASSERT_EQ(first.verdict, Verdict::kForwarded);
  EXPECT_EQ(first.seen.trouble, "");
  EXPECT_EQ(first.seen.source.address, c.outside);
  EXPECT_EQ(first.seen.icmp_type, c.echo_request());
  const auto identifier_of = [](const Box::Outcome& out) {
    return static_cast<uint16_t>(out.seen.icmp_rest >> 16);
  };
  EXPECT_EQ(first.seen.icmp_rest & 0xffff, 1u) << "the sequence number stays";
  EXPECT_NE(identifier_of(first), identifier_of(second));
  EXPECT_EQ(identifier_of(ping(c.inside.address, 77, 2)), identifier_of(first));

  for (const auto& [out, host] : {std::pair{&first, &c.inside}, {&second, &c.other_inside}}) {
    const auto answer = box.Receive(
        kClientPort, Echo(c.remote.address, c.outside, c.echo_reply(), identifier_of(*out), 1));
    EXPECT_EQ(answer.out_port, kBackendPort);
    EXPECT_EQ(answer.seen.trouble, "");
    EXPECT_EQ(answer.seen.destination.address, host->address);
    EXPECT_EQ(answer.seen.icmp_rest, 77u << 16 | 1);
  }
}

TEST_P(SnatTest, ThePingWithIdentifierZeroWorksToo) {
  const auto out =
      box.Receive(kBackendPort, Echo(c.inside.address, c.remote.address, c.echo_request(), 0, 9));
  const auto identifier = static_cast<uint16_t>(out.seen.icmp_rest >> 16);
  const auto answer =
      box.Receive(kClientPort, Echo(c.remote.address, c.outside, c.echo_reply(), identifier, 9));
  EXPECT_EQ(answer.seen.destination.address, c.inside.address);
  EXPECT_EQ(answer.seen.icmp_rest, 9u);
}

TEST_P(SnatTest, PingsToTheBoxAndFromOutsideAreTheKernels) {
  EXPECT_EQ(
      box.Receive(kBackendPort, Echo(c.inside.address, c.outside, c.echo_request(), 7, 1)).verdict,
      Verdict::kPunted);
  EXPECT_EQ(
      box.Receive(kClientPort, Echo(c.remote.address, c.outside, c.echo_request(), 7, 1)).verdict,
      Verdict::kPunted);
  EXPECT_EQ(
      box.Receive(kClientPort, Echo(c.remote.address, c.inside.address, c.echo_request(), 7, 1))
          .verdict,
      Verdict::kPunted);
}

// RFC 5508 section 4: the router outside keeps its address, and the inside host finds its own
// packet quoted.
TEST_P(SnatTest, IcmpErrorsFindTheInsideHost) {
  const Bytes datagram =
      UdpFrame({.source = c.inside, .destination = c.remote, .payload = Pattern(30)});
  const Bytes segment = TcpFrame({.source = c.inside, .destination = c.remote, .flags = kTcpSyn});
  const Bytes echo = Echo(c.inside.address, c.remote.address, c.echo_request(), 77, 5);
  for (const Bytes& sent : {datagram, segment, echo}) {
    const auto out = box.Receive(kBackendPort, sent);
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    const auto error =
        box.Receive(kClientPort, IcmpFrame(c.router, c.outside, c.is_v4() ? 11 : 3, 0, 0,
                                           Slice(out.frame, 14, out.frame.size())));
    ASSERT_EQ(error.verdict, Verdict::kForwarded);
    EXPECT_EQ(error.out_port, kBackendPort);
    EXPECT_EQ(error.seen.trouble, "");
    EXPECT_EQ(error.seen.source.address, c.router);
    EXPECT_EQ(error.seen.destination.address, c.inside.address);
    Bytes expected = Slice(sent, 14, sent.size());
    // The TTL that the router saw.
    expected[c.is_v4() ? 8 : 7] = static_cast<uint8_t>(expected[c.is_v4() ? 8 : 7] - 1);
    Bytes as_frame = Frame(expected);
    if (c.is_v4()) FixIpv4Checksum(as_frame);
    EXPECT_EQ(error.seen.quoted, Slice(as_frame, 14, as_frame.size()));
  }
}

TEST_P(SnatTest, ErrorsFromInsideHideTheInside) {
  const auto out = Out(c.inside, c.remote);
  const auto reply = In(c.remote, out.seen.source);
  const auto error = box.Receive(
      kBackendPort, IcmpFrame(c.inside.address, c.remote.address, c.is_v4() ? 3 : 1,
                              c.is_v4() ? 3 : 4, 0, Slice(reply.frame, 14, reply.frame.size())));
  ASSERT_EQ(error.verdict, Verdict::kForwarded);
  EXPECT_EQ(error.seen.source.address, c.outside);
  EXPECT_EQ(Dissect(Frame(error.seen.quoted)).destination, out.seen.source);
}

TEST_P(SnatTest, PathMtuIsToldToTheInsideHost) {
  const auto out = Out(c.inside, c.remote);
  const auto error =
      box.Receive(kClientPort, IcmpFrame(c.router, c.outside, c.is_v4() ? 3 : 2, c.is_v4() ? 4 : 0,
                                         1300, Slice(out.frame, 14, out.frame.size())));
  EXPECT_EQ(error.seen.destination.address, c.inside.address);
  EXPECT_EQ(error.seen.icmp_rest & 0xffff, 1300u);
  box.ports[kClientPort].mtu = 1300;
  box.Compile();
  const auto refused = box.FromBackend(
      Datagram{.source = c.inside, .destination = c.remote, .payload = Pattern(1400)});
  EXPECT_EQ(refused.verdict, Verdict::kPacketTooBig);
  EXPECT_TRUE(refused.answered);
  EXPECT_EQ(refused.seen.destination.address, c.inside.address);
}

TEST_P(SnatTest, WhatItDoesNotTakeIsTheKernels) {
  EXPECT_EQ(Out(c.inside, c.other_inside).verdict, Verdict::kPunted) << "between inside hosts";
  EXPECT_EQ(Out(c.inside, {c.outside, net::Be16(53)}).verdict, Verdict::kPunted) << "to the box";
  EXPECT_EQ(
      Out(c.inside, {Address(c.is_v4() ? "224.0.0.251" : "ff02::fb"), net::Be16(5353)}).verdict,
      Verdict::kPunted)
      << "to a group";
  EXPECT_EQ(In(c.other_remote, c.remote).verdict, Verdict::kPunted) << "not from inside";
  box.gateways.front().match.takes_udp = false;
  box.Compile();
  EXPECT_EQ(Out(c.inside, c.remote).verdict, Verdict::kPunted);
}

TEST_P(SnatTest, WithoutARouteItIsTheKernels) {
  std::erase_if(box.routes.routes, [](const auto& route) { return route.first.length == 0; });
  box.Compile();
  EXPECT_EQ(Out(c.inside, c.remote).verdict, Verdict::kPunted);
  EXPECT_EQ(box.sessions().size(), 0u);
}

TEST_P(SnatTest, TheFirstGatewayThatTakesAFlowHasIt) {
  const net::IpAddress other = Address(c.is_v4() ? "10.0.1.101" : "fd00:1::101");
  Box::Gateway& second = box.AddGateway();
  second.service.local_addresses = {other};
  box.gateways.front().match.destinations = {
      net::NetworkOf(c.remote.address, c.remote.address.bit_length())};
  box.Compile();
  EXPECT_EQ(Out(c.inside, c.remote).seen.source.address, c.outside);
  EXPECT_EQ(Out(c.inside, c.other_remote).seen.source.address, other);
}

TEST_P(SnatTest, ServicesComeFirst) {
  const Endpoint vip = c.is_v4() ? kVip4 : kVip6;
  box.AddService(vip, L4Protocol::kUdp);
  box.Compile();
  const auto out = Out(c.other_inside, vip);
  EXPECT_EQ(out.seen.source.address, c.is_v4() ? kLocal4 : kLocal6);
}

TEST_P(SnatTest, OnePortServesManyReceivers) {
  gateway().max_sessions = 5000;
  box.Compile();
  std::set<Endpoint> used;
  for (uint16_t i = 0; i < 3000; ++i) {
    Endpoint remote = c.remote;
    remote.port = net::Be16(static_cast<uint16_t>(10'000 + i));
    used.insert(Out(c.inside, remote).seen.source);
  }
  EXPECT_EQ(counters().sessions_active(), 3000u);
  EXPECT_LT(used.size(), 2990u) << "chosen without regard to the others' receivers";
}

TEST_P(SnatTest, AnAddressCarriesMoreFlowsThanItHasPorts) {
  constexpr uint32_t kFlows = 66'000;
  static_assert(kFlows > 65'536);
  Box large({.capacity = {kFlows, kFlows}});
  large.AddGateway();
  large.Compile();
  std::set<std::pair<Endpoint, Endpoint>> used;  // by what answers are told apart
  for (uint32_t i = 0; i < kFlows; ++i) {
    Endpoint remote = i % 2 == 0 ? c.remote : c.other_remote;
    remote.port = net::Be16(static_cast<uint16_t>(1 + i / 2));
    const auto out = large.FromBackend(Datagram{.source = c.inside, .destination = remote});
    ASSERT_EQ(out.verdict, Verdict::kForwarded) << i;
    ASSERT_EQ(out.seen.source.address, c.outside);
    ASSERT_TRUE(used.emplace(out.seen.source, remote).second);
  }
  EXPECT_EQ(large.sessions().size(), kFlows);
}

TEST_P(SnatTest, PortsThatRanOutAreARefusalThatIsCounted) {
  Box crowded({.capacity = {70'000, 70'000}});
  crowded.AddGateway();
  crowded.Compile();
  uint32_t refused = 0;
  for (uint32_t i = 0; i < 64'512 + 2'000; ++i) {
    const Endpoint inside{i % 2 == 0 ? c.inside.address : c.other_inside.address,
                          net::Be16(static_cast<uint16_t>(1 + i / 2))};
    crowded.Pass(1);
    const auto out = crowded.FromBackend(Datagram{.source = inside, .destination = c.remote});
    if (out.verdict == Verdict::kLocalPortsExhausted) ++refused;
  }
  const core::ServiceCounters& of_gateway =
      crowded.worker().services[crowded.snapshot.services.back()->slot];
  EXPECT_GE(refused, 2'000u);
  EXPECT_EQ(of_gateway.local_ports_exhausted_packets.value(), refused);
  EXPECT_GT(of_gateway.local_port_long_searches.value(), 1'000u) << "it had warned before";
  const auto elsewhere =
      crowded.FromBackend(Datagram{.source = c.inside, .destination = c.other_remote});
  EXPECT_EQ(elsewhere.verdict, Verdict::kForwarded) << "towards others it has all its ports";
}

TEST_P(SnatTest, TheLimitOfSessionsIsKept) {
  gateway().max_sessions = 1;
  box.Compile();
  EXPECT_EQ(Out(c.inside, c.remote).verdict, Verdict::kForwarded);
  EXPECT_EQ(Out(c.inside, c.other_remote).verdict, Verdict::kSessionLimit);
  EXPECT_EQ(counters().session_limit_packets.value(), 1u);
}

TEST_P(SnatTest, TimeoutsAreTheProtocols) {
  gateway().timeouts_ms[static_cast<size_t>(core::TcpState::kNone)] = 300'000;
  gateway().icmp_timeout_ms = 60'000;
  box.Compile();
  Out(c.inside, c.remote);
  box.Receive(kBackendPort, Echo(c.inside.address, c.remote.address, c.echo_request(), 7, 1));
  EXPECT_EQ(box.sessions().size(), 2u);
  Wait(59'000);
  EXPECT_EQ(box.sessions().size(), 2u);
  Wait(3'000);
  EXPECT_EQ(box.sessions().size(), 1u);
  Wait(240'000);
  EXPECT_EQ(box.sessions().size(), 0u);
  EXPECT_EQ(counters().sessions_active(), 0u);
}

// A change of routes has datagram flows of backends that are gone begin anew; these go on.
TEST_P(SnatTest, AChangeElsewhereLeavesFlowsTheirPorts) {
  const auto before = Out(c.inside, c.remote);
  box.Compile();
  EXPECT_EQ(Out(c.inside, c.remote).seen.source, before.seen.source);
}

TEST_P(SnatTest, FragmentsOfBothDirectionsAreTranslated) {
  const auto through = [&](core::PortId port, const Bytes& whole) {
    for (const Bytes& fragment : Fragments(whole, {1480}))
      EXPECT_EQ(box.Receive(port, fragment).verdict, Verdict::kConsumed);
    core::Burst burst;
    core::Reassembler& reassembler = *box.worker().reassembler;
    reassembler.ReleaseTaken();
    reassembler.TakeComplete(burst);
    EXPECT_EQ(burst.count, 1u);
    burst.in_port = port;
    box.pipeline().Process(box.snapshot, burst, box.now_ns);
    EXPECT_EQ(burst.verdict[0], Verdict::kForwarded);
    const Seen seen = Dissect(BytesOf(burst.packet[0]));
    EXPECT_EQ(seen.trouble, "");
    return seen;
  };
  const IpFields may_be_fragmented{.flags_and_offset = 0};
  const Seen out =
      through(kBackendPort,
              UdpFrame({.source = c.inside, .destination = c.remote, .payload = Pattern(2500)},
                       may_be_fragmented));
  EXPECT_EQ(out.source.address, c.outside);
  const Seen in =
      through(kClientPort,
              UdpFrame({.source = c.remote, .destination = out.source, .payload = Pattern(2500)},
                       may_be_fragmented));
  EXPECT_EQ(in.destination, c.inside);

  const Seen ping = through(kBackendPort, Echo(c.inside.address, c.remote.address, c.echo_request(),
                                               7, 1, 2500, may_be_fragmented));
  EXPECT_EQ(ping.source.address, c.outside);
  const Seen pong = through(
      kClientPort, Echo(c.remote.address, c.outside, c.echo_reply(),
                        static_cast<uint16_t>(ping.icmp_rest >> 16), 1, 2500, may_be_fragmented));
  EXPECT_EQ(pong.destination.address, c.inside.address);
  EXPECT_EQ(pong.icmp_rest >> 16, 7u);
}

// --- endpoint-independent mappings (RFC 4787) ---------------------------------------------------

class EndpointIndependent : public SnatTest {
 protected:
  EndpointIndependent() {
    gateway().endpoint_independent_udp = true;
    gateway().timeouts_ms[static_cast<size_t>(core::TcpState::kNone)] = 300'000;
    box.Compile();
  }
};
INSTANTIATE_TEST_SUITE_P(Family, EndpointIndependent, testing::ValuesIn(kSnatCases), SnatName);

TEST_P(EndpointIndependent, OneOutsideEndpointWhoeverTheReceiver) {
  const auto first = Out(c.inside, c.remote);
  EXPECT_EQ(Out(c.inside, c.other_remote).seen.source, first.seen.source);
  const Endpoint other_port{c.inside.address, net::Be16(5001)};
  EXPECT_NE(Out(other_port, c.remote).seen.source, first.seen.source);
  EXPECT_EQ(In(c.remote, first.seen.source).seen.destination, c.inside);
  EXPECT_EQ(In(c.other_remote, first.seen.source).seen.destination, c.inside);
}

TEST_P(EndpointIndependent, WhoeverSendsThereGetsIn) {
  const auto out = Out(c.inside, c.remote);
  const auto in = In(c.other_remote, out.seen.source);
  ASSERT_EQ(in.verdict, Verdict::kForwarded);
  EXPECT_EQ(in.seen.source, c.other_remote);
  EXPECT_EQ(in.seen.destination, c.inside);
  const auto answer = Out(c.inside, c.other_remote);
  EXPECT_EQ(answer.seen.source, out.seen.source);
  EXPECT_EQ(counters().sessions_active(), 2u);
}

// RFC 4787 REQ-9: both hosts see each other's outside endpoint.
TEST_P(EndpointIndependent, InsideHostsMeetByTheirOutsideEndpoints) {
  const Endpoint outside = Out(c.inside, c.remote).seen.source;
  const Endpoint other_outside = Out(c.other_inside, c.remote).seen.source;
  const auto there = Out(c.inside, other_outside);
  ASSERT_EQ(there.verdict, Verdict::kForwarded);
  EXPECT_EQ(there.out_port, kBackendPort);
  EXPECT_EQ(there.seen.source, outside);
  EXPECT_EQ(there.seen.destination, c.other_inside);
  const auto back = Out(c.other_inside, outside);
  EXPECT_EQ(back.seen.source, other_outside);
  EXPECT_EQ(back.seen.destination, c.inside);
}

TEST_P(EndpointIndependent, AMappingLivesAsLongAsItsFlows) {
  const auto out = Out(c.inside, c.remote);
  for (int minute = 0; minute < 20; ++minute) {
    Wait(60'000);
    In(c.remote, out.seen.source);
  }
  EXPECT_EQ(In(c.other_remote, out.seen.source).verdict, Verdict::kForwarded);
  Wait(301'000);
  Wait(1'000);
  EXPECT_EQ(box.sessions().size(), 0u) << "the mapping too";
  EXPECT_EQ(In(c.remote, out.seen.source).verdict, Verdict::kPunted);
}

TEST_P(EndpointIndependent, WithoutTheGatewayNobodyGetsIn) {
  const auto out = Out(c.inside, c.remote);
  const core::ServiceSlot slot = box.snapshot.services.back()->slot;
  box.gateways.clear();
  box.Compile();
  box.snapshot.services.resize(slot + 1);
  EXPECT_EQ(In(c.other_remote, out.seen.source).verdict, Verdict::kPunted);
}

}  // namespace
}  // namespace steelyard::test
