// SPDX-License-Identifier: Apache-2.0
//
// Tunnels: the client's packet arrives whole at the backend, in all pairs of families and both
// encapsulations.
#include <gtest/gtest.h>

#include <set>

#include "packet/connection.h"

namespace steelyard::test {
namespace {

using core::Encapsulation;
using net::kTcpAck;
using net::kTcpSyn;
using net::L4Protocol;
using net::Verdict;

struct TunnelCase {
  const char* name;
  const FamilyCase& inner;
  const FamilyCase& outer;
  Encapsulation encapsulation;

  size_t added_bytes() const {
    return outer.ip_header_bytes + (encapsulation == Encapsulation::kGue ? 12u : 0u);
  }
};
const TunnelCase kTunnelCases[] = {
    {"4in4", kFamilyCases[0], kFamilyCases[0], Encapsulation::kIpip},
    {"6in4", kFamilyCases[1], kFamilyCases[0], Encapsulation::kIpip},
    {"4in6", kFamilyCases[0], kFamilyCases[1], Encapsulation::kIpip},
    {"6in6", kFamilyCases[1], kFamilyCases[1], Encapsulation::kIpip},
    {"4inGue4", kFamilyCases[0], kFamilyCases[0], Encapsulation::kGue},
    {"6inGue4", kFamilyCases[1], kFamilyCases[0], Encapsulation::kGue},
    {"4inGue6", kFamilyCases[0], kFamilyCases[1], Encapsulation::kGue},
    {"6inGue6", kFamilyCases[1], kFamilyCases[1], Encapsulation::kGue},
};

class TunnelTest : public testing::TestWithParam<TunnelCase> {
 protected:
  TunnelTest() {
    box.mode = &core::Tunnel();
    box.AddUsualServices(2);
    for (core::Service& service : box.services) {
      service.local_addresses = {kLocal4, kLocal6};
      for (uint8_t i = 0; i < 2; ++i) {
        service.backends[i].endpoint = {outer.backend(i).address, service.address.port};
        service.backends[i].encapsulation = GetParam().encapsulation;
      }
    }
    box.Compile();
  }

  // The inner packet as a frame of its own.
  Bytes Unwrap(const Box::Outcome& out) const {
    return Frame(Slice(out.frame, 14 + GetParam().added_bytes(), out.frame.size()));
  }

  const FamilyCase& inner = GetParam().inner;
  const FamilyCase& outer = GetParam().outer;
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Pair, TunnelTest, testing::ValuesIn(kTunnelCases),
                         [](const auto& at) { return "Of" + std::string(at.param.name); });

TEST_P(TunnelTest, ThePacketArrivesWholeButForItsTtl) {
  for (const Bytes& sent :
       {TcpFrame({.source = inner.client, .destination = inner.vip, .flags = kTcpSyn},
                 {.dscp_and_ecn = 0xb9}),
        UdpFrame({.source = inner.client, .destination = inner.vip, .payload = Pattern(77)},
                 {.dscp_and_ecn = 0xb9}),
        UdpFrame({.source = inner.client, .destination = inner.vip, .payload = Pattern(78)},
                 {.dscp_and_ecn = 0xb9})}) {
    const auto out = box.Receive(kClientPort, sent);
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.seen.trouble, "");
    EXPECT_EQ(out.out_port, kBackendPort);
    EXPECT_EQ(out.seen.source.address, outer.local);
    EXPECT_EQ(out.seen.ttl, core::TunnelOptions{}.ttl);
    EXPECT_EQ(out.seen.dscp_and_ecn, 0xb9) << "RFC 6040, RFC 2983";
    const Bytes unwrapped = Unwrap(out);
    EXPECT_EQ(Dissect(unwrapped).trouble, "");
    EXPECT_EQ(Dissect(unwrapped).source, inner.client);
    EXPECT_EQ(Dissect(unwrapped).destination, inner.vip);
    EXPECT_EQ(Dissect(unwrapped).ttl, Dissect(sent).ttl - 1);
    EXPECT_EQ(Dissect(unwrapped).payload, Dissect(sent).payload);
    EXPECT_EQ(Dissect(unwrapped).l4, Dissect(sent).l4);
  }
}

TEST_P(TunnelTest, OuterHeaderNamesWhatIsInside) {
  const auto out = box.FromClient(
      Datagram{.source = inner.client, .destination = inner.vip, .payload = Pattern(9)});
  const uint8_t inner_protocol = inner.client.address.is_v4() ? 4 : 41;
  if (GetParam().encapsulation == Encapsulation::kIpip) {
    EXPECT_EQ(out.seen.protocol, inner_protocol);
    return;
  }
  EXPECT_EQ(out.seen.protocol, 17);
  EXPECT_EQ(out.seen.destination.port, net::Be16(6080));
  EXPECT_GE(out.seen.source.port.value(), 0xc000);
  EXPECT_EQ(Slice(out.seen.payload, 0, 4), (Bytes{0, inner_protocol, 0, 0}));
}

// RFC 2003 section 3.1: whoever forbids to fragment is told what fits, inside and outside.
TEST_P(TunnelTest, DontFragmentIsCopied) {
  if (!outer.client.address.is_v4()) return;
  for (const uint16_t flags : {uint16_t{0x4000}, uint16_t{0}}) {
    const auto out = box.FromClient(
        Datagram{.source = inner.client, .destination = inner.vip, .payload = Pattern(9)},
        {.flags_and_offset = flags});
    const bool forbids = !inner.client.address.is_v4() || flags != 0;
    EXPECT_EQ(Get16(out.frame, 14 + 6), forbids ? 0x4000 : 0);
  }
}

TEST_P(TunnelTest, WhatDoesNotFitWithItsOuterHeaderIsTooBig) {
  box.FromClient(Segment{.source = inner.client, .destination = inner.vip, .flags = kTcpSyn});
  const size_t headers = inner.ip_header_bytes + 20u + GetParam().added_bytes();
  const auto send = [&](size_t payload_bytes) {
    return box
        .FromClient(Segment{
            .source = inner.client, .destination = inner.vip, .payload = Pattern(payload_bytes)})
        .verdict;
  };
  EXPECT_EQ(send(1500 - headers), Verdict::kForwarded);
  EXPECT_EQ(send(1500 - headers + 1), Verdict::kPacketTooBig);
}

// RFC 2473 section 7.1: no sender can be asked to cut what every IPv6 link carries.
TEST_P(TunnelTest, TheLeastIpv6MtuPassesANarrowLinkInFragments) {
  if (inner.client.address.is_v4()) return;
  box.ports[kBackendPort].mtu = 1290;
  box.Compile();
  const auto send = [&](size_t bytes) {
    return box.FromClient(Datagram{.source = inner.client,
                                   .destination = inner.vip,
                                   .payload = Pattern(bytes - inner.ip_header_bytes - 8)});
  };
  const auto least = send(1280);
  EXPECT_EQ(least.verdict, Verdict::kForwarded);
  EXPECT_TRUE(least.leaves_in_fragments);
  EXPECT_EQ(send(1281).verdict, Verdict::kPacketTooBig);
}

TEST_P(TunnelTest, FlowsDifferInWhatReceiversHash) {
  for (core::Service& service : box.services)
    service.tunnel.source_prefixes = {*net::ParsePrefix("10.9.0.0/20"),
                                      *net::ParsePrefix("fd00:9::/64")};
  box.Compile();
  const net::Prefix prefix = box.services[0].tunnel.source_prefixes[outer.local.is_v4() ? 0 : 1];
  std::set<net::Endpoint> sources;
  for (uint16_t port = 1; port <= 64; ++port) {
    const Datagram datagram{.source = {inner.client.address, net::Be16(port)},
                            .destination = inner.vip};
    const auto out = box.FromClient(datagram);
    EXPECT_TRUE(prefix.Contains(out.seen.source.address));
    EXPECT_EQ(box.FromClient(datagram).seen.source, out.seen.source) << "of a flow always the same";
    sources.insert(out.seen.source);
  }
  EXPECT_GT(sources.size(), 48u);
}

// The error about a backend's answer comes to the VIP, which is the box's.
TEST_P(TunnelTest, ErrorsAboutABackendsAnswersReachThatBackendWhole) {
  const auto syn =
      box.FromClient(Segment{.source = inner.client, .destination = inner.vip, .flags = kTcpSyn});
  const bool v4 = inner.client.address.is_v4();
  const Bytes answer =
      TcpFrame({.source = inner.vip, .destination = inner.client, .payload = Pattern(900)});
  const Bytes error = IcmpFrame(inner.router, inner.vip.address, v4 ? 3 : 2, v4 ? 4 : 0, 1300,
                                Slice(answer, 14, 14 + 500));
  const auto out = box.Receive(kClientPort, error);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.trouble, "");
  EXPECT_EQ(out.seen.destination.address, syn.seen.destination.address);
  EXPECT_EQ(Dissect(Unwrap(out)).quoted, Dissect(error).quoted);
  EXPECT_EQ(Dissect(Unwrap(out)).source.address, inner.router);
}

// A narrow link between box and backend: the box learns it, and what no longer fits is too big.
TEST_P(TunnelTest, LearnsThePathMtuFromErrorsAboutTunnelPackets) {
  box.FromClient(Segment{.source = inner.client, .destination = inner.vip, .flags = kTcpSyn});
  const Segment data{.source = inner.client, .destination = inner.vip, .payload = Pattern(1300)};
  const auto sent = box.FromClient(data);
  ASSERT_EQ(sent.verdict, Verdict::kForwarded);
  const bool v4 = outer.local.is_v4();
  const auto error = [&](const Bytes& quoted) {
    return box
        .Receive(kBackendPort, IcmpFrame(outer.router, sent.seen.source.address, v4 ? 3 : 2,
                                         v4 ? 4 : 0, 1300, quoted))
        .verdict;
  };
  EXPECT_EQ(error(Slice(sent.frame, 14, 14 + GetParam().added_bytes() + 20)), Verdict::kPunted)
      << "too little of it to tell the flow";
  EXPECT_EQ(box.FromClient(data).verdict, Verdict::kForwarded);
  EXPECT_EQ(error(Slice(sent.frame, 14, 14 + 500)), Verdict::kConsumed);
  const auto refused = box.FromClient(data);
  EXPECT_EQ(refused.verdict, Verdict::kPacketTooBig);
  // The client is told what is left of the path's MTU (RFC 4459 section 3.2).
  ASSERT_TRUE(refused.answered);
  EXPECT_EQ(refused.seen.destination.address, inner.client.address);
  EXPECT_EQ(refused.seen.source.address, inner.vip.address);
  const size_t left = 1300 - GetParam().added_bytes();
  EXPECT_EQ(refused.seen.icmp_rest & 0xffff,
            inner.client.address.is_v4() ? left : std::max<size_t>(left, 1280));
  for (int i = 0; i < 601; ++i) box.Pass(1000);
  EXPECT_EQ(box.FromClient(data).verdict, Verdict::kForwarded) << "paths get better";
}

TEST_P(TunnelTest, ErrorsAboutWhatTheBoxDidNotSendAreTheKernels) {
  box.FromClient(Segment{.source = inner.client, .destination = inner.vip, .flags = kTcpSyn});
  const auto sent = box.FromClient(
      Segment{.source = inner.client, .destination = inner.vip, .payload = Pattern(1300)});
  Bytes quoted = Slice(sent.frame, 14, 14 + 500);
  // To another receiver than the session's.
  const size_t last_byte = outer.local.is_v4() ? 19 : 39;
  quoted[last_byte] = static_cast<uint8_t>(quoted[last_byte] ^ 0x40);
  const bool v4 = outer.local.is_v4();
  EXPECT_EQ(box.Receive(kBackendPort, IcmpFrame(outer.router, sent.seen.source.address, v4 ? 3 : 2,
                                                v4 ? 4 : 0, 600, quoted))
                .verdict,
            Verdict::kPunted);
}

}  // namespace
}  // namespace steelyard::test
