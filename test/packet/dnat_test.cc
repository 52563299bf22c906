// SPDX-License-Identifier: Apache-2.0
//
// DNAT: the backend sees the client, the client sees the VIP.
#include <gtest/gtest.h>

#include "packet/connection.h"

namespace steelyard::test {
namespace {

using net::kTcpAck;
using net::kTcpFin;
using net::kTcpSyn;
using net::L4Protocol;
using net::Verdict;

class DnatTest : public testing::TestWithParam<FamilyCase> {
 protected:
  DnatTest() {
    box.mode = &core::Dnat();
    box.AddUsualServices();
  }
  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, DnatTest, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(DnatTest, OnlyTheServersSideOfAConnectionIsTranslated) {
  Connection connection(box, family);
  const auto syn = connection.FromClient(kTcpSyn, MssOption(1460));
  EXPECT_EQ(syn.out_port, kBackendPort);
  EXPECT_EQ(syn.seen.source, connection.client);
  EXPECT_EQ(syn.seen.destination, family.backend(0));
  EXPECT_EQ(syn.seen.sequence, connection.ToVip(kTcpSyn).sequence - 1) << "no clock of the box's";
  EXPECT_EQ(syn.seen.mss(), 1460) << "not asked to clamp";

  const auto answer = connection.FromBackend(kTcpSyn | kTcpAck, MssOption(1460));
  EXPECT_EQ(answer.out_port, kClientPort);
  EXPECT_EQ(answer.seen.source, family.vip);
  EXPECT_EQ(answer.seen.destination, connection.client);
  EXPECT_EQ(answer.seen.acknowledgment, connection.client_next);

  const auto request = connection.FromClient(kTcpAck, {}, Pattern(100));
  EXPECT_TRUE(request.seen.options.empty()) << "nothing is added";
  EXPECT_EQ(connection.state()->tcp_state, core::TcpState::kEstablished);
}

TEST_P(DnatTest, DatagramsThereAndBack) {
  const net::Endpoint client = family.client;
  const auto request =
      box.FromClient(Datagram{.source = client, .destination = family.vip, .payload = Pattern(30)});
  EXPECT_EQ(request.seen.source, client);
  EXPECT_EQ(request.seen.destination, family.backend(0));
  const auto reply = box.FromBackend(
      Datagram{.source = family.backend(0), .destination = client, .payload = Pattern(40)});
  EXPECT_EQ(reply.seen.source, family.vip);
  EXPECT_EQ(reply.seen.destination, client);
}

TEST_P(DnatTest, WhatABackendSendsByItselfIsTheKernels) {
  EXPECT_EQ(
      box.FromBackend(
             Datagram{.source = family.backend(0),
                      .destination = Host(
                          family.client.address.is_v4() ? "203.0.113.9" : "2001:db8:99::9", 53)})
          .verdict,
      Verdict::kPunted);
}

// One client port, two VIPs, one backend port: the answers must still be told apart.
TEST_P(DnatTest, TwoVipsToOneBackendDoNotMeet) {
  const net::Endpoint other_vip = Host(family.vip.address.is_v4() ? "10.0.1.20" : "fd00:1::20", 80);
  box.AddService(other_vip, L4Protocol::kUdp);
  box.Compile();
  const net::Endpoint client = family.client;
  const auto first = box.FromClient(Datagram{.source = client, .destination = family.vip});
  const auto second = box.FromClient(Datagram{.source = client, .destination = other_vip});
  EXPECT_EQ(second.seen.source.address, client.address) << "still the client's address";
  EXPECT_NE(second.seen.source, first.seen.source);
  const auto answer = [&](const Box::Outcome& request) {
    return box.FromBackend(
        Datagram{.source = request.seen.destination, .destination = request.seen.source});
  };
  EXPECT_EQ(answer(first).seen.source, family.vip);
  EXPECT_EQ(answer(second).seen.source, other_vip);
  EXPECT_EQ(answer(second).seen.destination, client);
}

// RFC 5508 section 4: where the error is about what the NAT hides, it hides the router too; the
// client's side is not hidden, and its routers are shown to the backend.
TEST_P(DnatTest, IcmpErrorsAreTranslatedAndRoutersShownWhereTheyMayBe) {
  const net::Endpoint client = family.client;
  const Bytes sent =
      UdpFrame({.source = client, .destination = family.vip, .payload = Pattern(21)});
  const auto request = box.Receive(kClientPort, sent);
  const bool v4 = client.address.is_v4();
  const auto error_about = [&](const Box::Outcome& left, const net::IpAddress& to) {
    return IcmpFrame(family.router, to, v4 ? 3 : 1, 3, 0, Slice(left.frame, 14, left.frame.size()));
  };
  const auto to_client = box.Receive(kBackendPort, error_about(request, client.address));
  EXPECT_EQ(to_client.out_port, kClientPort);
  EXPECT_EQ(to_client.seen.source.address, family.vip.address);
  EXPECT_EQ(to_client.seen.destination.address, client.address);
  EXPECT_EQ(Dissect(Frame(to_client.seen.quoted)).destination, family.vip);

  const auto reply = box.FromBackend(
      Datagram{.source = family.backend(0), .destination = client, .payload = Pattern(40)});
  const auto to_backend = box.Receive(kClientPort, error_about(reply, family.vip.address));
  EXPECT_EQ(to_backend.out_port, kBackendPort);
  EXPECT_EQ(to_backend.seen.source.address, family.router);
  EXPECT_EQ(to_backend.seen.destination.address, family.backend(0).address);
  EXPECT_EQ(Dissect(Frame(to_backend.seen.quoted)).source, family.backend(0));
}

TEST_P(DnatTest, ClampsSynsWhenAsked) {
  box.service(family.vip, L4Protocol::kTcp).clamp_mss = true;
  box.ports[kBackendPort].mtu = 1300;
  box.Compile();
  const uint16_t most = static_cast<uint16_t>(1300 - family.ip_header_bytes - 20);
  Connection connection(box, family);
  EXPECT_EQ(connection.FromClient(kTcpSyn, MssOption(1460)).seen.mss(), most);
  EXPECT_EQ(connection.FromBackend(kTcpSyn | kTcpAck, MssOption(1460)).seen.mss(), most);
}

}  // namespace
}  // namespace steelyard::test
