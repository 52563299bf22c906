// SPDX-License-Identifier: Apache-2.0
//
// Direct routing: nothing but the link layer changes, and only the client's packets are seen.
#include <gtest/gtest.h>

#include "packet/connection.h"

namespace steelyard::test {
namespace {

using core::TcpState;
using net::kTcpAck;
using net::kTcpFin;
using net::kTcpRst;
using net::kTcpSyn;
using net::Verdict;

class DirectTest : public testing::TestWithParam<FamilyCase> {
 protected:
  DirectTest() {
    box.mode = &core::Direct();
    box.AddUsualServices(2);
    for (core::Service& service : box.services)
      for (core::Backend& backend : service.backends) backend.endpoint.port = service.address.port;
    box.Compile();
  }

  Box::Outcome FromClient(uint8_t flags, const Bytes& payload = {}) {
    return box.FromClient(Segment{
        .source = family.client, .destination = family.vip, .flags = flags, .payload = payload});
  }
  // Of the backend that a packet went to.
  struct Condition {
    bool available, keeps_sessions;
  };
  void Set(const Box::Outcome& packet, const Condition& condition) {
    for (core::Backend& backend : box.service(family.vip, net::L4Protocol::kTcp).backends) {
      if (MacOf(backend.endpoint.address) != packet.seen.destination_mac) continue;
      backend.available = condition.available;
      backend.keeps_sessions = condition.keeps_sessions;
    }
    box.Compile();
  }
  TcpState State() {
    return box.StateOf({family.client, family.vip, net::L4Protocol::kTcp})->tcp_state;
  }

  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, DirectTest, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(DirectTest, OnlyTheLinkLayerChanges) {
  for (const Bytes& sent :
       {TcpFrame({.source = family.client, .destination = family.vip, .flags = kTcpSyn},
                 {.ttl = 1, .dscp_and_ecn = 0xb9}),
        UdpFrame({.source = family.client, .destination = family.vip, .payload = Pattern(77)})}) {
    const auto out = box.Receive(kClientPort, sent);
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.out_port, kBackendPort);
    EXPECT_EQ(out.seen.destination_mac, MacOf(family.backend(0).address));
    EXPECT_EQ(Slice(out.frame, 14, out.frame.size()), Slice(sent, 14, sent.size()));
  }
}

TEST_P(DirectTest, AConnectionStaysWithItsBackend) {
  const auto syn = FromClient(kTcpSyn);
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(FromClient(kTcpAck, Pattern(10)).seen.destination_mac, syn.seen.destination_mac);
}

TEST_P(DirectTest, StatesAreToldByTheClientAlone) {
  FromClient(kTcpSyn);
  EXPECT_EQ(State(), TcpState::kSynSent);
  FromClient(kTcpAck);
  EXPECT_EQ(State(), TcpState::kEstablished);
  FromClient(kTcpFin | kTcpAck);
  EXPECT_EQ(State(), TcpState::kClientFin);
  FromClient(kTcpAck);
  EXPECT_EQ(State(), TcpState::kClientFin) << "it may still receive";
  FromClient(kTcpRst);
  EXPECT_EQ(State(), TcpState::kClosed);
}

TEST_P(DirectTest, ASynAfterTheClientsFinOpensAnew) {
  const auto first = FromClient(kTcpSyn);
  FromClient(kTcpAck);
  FromClient(kTcpFin | kTcpAck);
  const auto second = FromClient(kTcpSyn);
  EXPECT_NE(second.seen.destination_mac, first.seen.destination_mac) << "scheduled again";
  EXPECT_EQ(box.sessions().size(), 1u);
  EXPECT_EQ(State(), TcpState::kSynSent);
}

// Its RST went to the client directly, which may use the port again while the session lives.
TEST_P(DirectTest, ASynLeavesABackendThatIsGone) {
  for (const bool was_established : {false, true}) {
    const auto first = FromClient(kTcpSyn);
    if (was_established) FromClient(kTcpAck);
    Set(first, {.available = false, .keeps_sessions = false});
    const auto second = FromClient(kTcpSyn);
    ASSERT_EQ(second.verdict, Verdict::kForwarded);
    EXPECT_NE(second.seen.destination_mac, first.seen.destination_mac);
    EXPECT_EQ(box.sessions().size(), 1u);
    EXPECT_EQ(State(), TcpState::kSynSent);
    FromClient(kTcpRst);
    Set(first, {.available = true, .keeps_sessions = true});
  }
}

TEST_P(DirectTest, OnlyASynLeavesIt) {
  const auto syn = FromClient(kTcpSyn);
  FromClient(kTcpAck);
  Set(syn, {.available = false, .keeps_sessions = false});
  EXPECT_EQ(FromClient(kTcpAck, Pattern(10)).seen.destination_mac, syn.seen.destination_mac);
}

TEST_P(DirectTest, ASynStaysWithADrainingBackend) {
  const auto first = FromClient(kTcpSyn);
  FromClient(kTcpAck);
  Set(first, {.available = false, .keeps_sessions = true});
  EXPECT_EQ(FromClient(kTcpSyn).seen.destination_mac, first.seen.destination_mac);
  EXPECT_EQ(State(), TcpState::kEstablished);
}

TEST_P(DirectTest, IdleSessionsEnd) {
  FromClient(kTcpSyn);
  FromClient(kTcpAck);
  const uint32_t idle_ms = core::kDefaultTimeoutsMs[static_cast<size_t>(TcpState::kEstablished)];
  for (uint32_t passed_ms = 1000; passed_ms < idle_ms; passed_ms += 1000)
    box.Pass(1000), box.Expire();
  EXPECT_EQ(box.sessions().size(), 1u);
  box.Pass(2000);
  box.Expire();
  EXPECT_EQ(box.sessions().size(), 0u);
}

// A router between backend and client cannot reach the backend by the VIP that is its source: the
// error comes to the box.
TEST_P(DirectTest, ErrorsAboutABackendsAnswersReachThatBackend) {
  const auto request = FromClient(kTcpSyn);
  const bool v4 = family.client.address.is_v4();
  const Bytes answer =
      TcpFrame({.source = family.vip, .destination = family.client, .payload = Pattern(900)});
  const Bytes error = IcmpFrame(family.router, family.vip.address, v4 ? 3 : 2, v4 ? 4 : 0, 1300,
                                Slice(answer, 14, 14 + 500));
  const auto out = box.Receive(kClientPort, error);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.destination_mac, request.seen.destination_mac);
  EXPECT_EQ(Slice(out.frame, 14, out.frame.size()), Slice(error, 14, error.size()));
}

TEST_P(DirectTest, BackendsPacketsAreNobodysSession) {
  FromClient(kTcpSyn);
  EXPECT_EQ(box
                .FromBackend(Segment{
                    .source = family.vip, .destination = family.client, .flags = kTcpSyn | kTcpAck})
                .verdict,
            Verdict::kPunted);
}

}  // namespace
}  // namespace steelyard::test
