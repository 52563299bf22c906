// SPDX-License-Identifier: Apache-2.0
//
// Limits of sessions: who is refused, who is not, and what makes room again.
#include <map>

#include "packet/connection.h"

namespace steelyard::test {
namespace {

using net::L4Protocol;
using net::Verdict;

class SessionLimit : public testing::TestWithParam<FamilyCase> {
 protected:
  SessionLimit() { box.AddUsualServices(3); }

  core::Service& Service(L4Protocol protocol = L4Protocol::kUdp) {
    return box.service(family.vip, protocol);
  }
  Box::Outcome Send(uint16_t client_port) {
    return box.FromClient(Datagram{.source = {family.client.address, net::Be16(client_port)},
                                   .destination = family.vip});
  }
  // Asserts that nothing but looking foretells the same.
  Verdict SendForetold(uint16_t client_port) {
    const net::FlowKey key({family.client.address, net::Be16(client_port)}, family.vip,
                           L4Protocol::kUdp);
    const core::Pipeline::Preview preview = box.pipeline().Look(box.snapshot, key, box.now_ns);
    const Verdict verdict = Send(client_port).verdict;
    EXPECT_EQ(preview.verdict, verdict);
    return verdict;
  }
  uint64_t Refused(L4Protocol protocol = L4Protocol::kUdp) {
    return box.worker().services[Service(protocol).slot].session_limit_packets.value();
  }

  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, SessionLimit, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(SessionLimit, AServiceAtItsLimitRefusesNewFlowsOnly) {
  Service().max_sessions = 5;
  box.Compile();
  for (uint16_t port = 1; port <= 5; ++port) EXPECT_EQ(SendForetold(port), Verdict::kForwarded);
  for (uint16_t port = 6; port <= 8; ++port) EXPECT_EQ(SendForetold(port), Verdict::kSessionLimit);
  for (uint16_t port = 1; port <= 5; ++port) EXPECT_EQ(SendForetold(port), Verdict::kForwarded);
  EXPECT_EQ(Refused(), 3u);
  Connection of_another_service(box, family);
  of_another_service.Open();
  EXPECT_EQ(Refused(L4Protocol::kTcp), 0u);
}

TEST_P(SessionLimit, TheEndOfASessionMakesRoom) {
  Service().max_sessions = 2;
  box.Compile();
  Send(1), box.Pass(20'000), Send(2);
  EXPECT_EQ(SendForetold(3), Verdict::kSessionLimit);
  box.Pass(15'000);
  for (int i = 0; i < 10; ++i) box.Expire();
  EXPECT_EQ(SendForetold(3), Verdict::kForwarded);
  EXPECT_EQ(SendForetold(1), Verdict::kSessionLimit);
}

// What is over is no obstacle to what follows it.
TEST_P(SessionLimit, AConnectionMayReopenAtTheLimit) {
  Service(L4Protocol::kTcp).max_sessions = 1;
  box.Compile();
  Connection connection(box, family);
  connection.Open();
  Connection other(box, family, 40001);
  EXPECT_EQ(other.FromClient(net::kTcpSyn).verdict, Verdict::kSessionLimit);
  connection.Close();
  connection.Open();
}

TEST_P(SessionLimit, ABackendAtItsLimitIsPassedOver) {
  for (const core::SchedulerKind& kind : core::SchedulerKinds()) {
    Box fresh;
    fresh.AddUsualServices(3);
    fresh.scheduler = kind.name;
    core::Service& service = fresh.service(family.vip, L4Protocol::kUdp);
    const std::map<net::Endpoint, uint32_t> limits = {
        {family.backend(0), 3}, {family.backend(1), 0}, {family.backend(2), 6}};
    for (core::Backend& backend : service.backends)
      backend.max_sessions = limits.at(backend.endpoint);
    fresh.Compile();
    std::map<net::Endpoint, uint32_t> sessions;
    for (uint16_t port = 1; port <= 20; ++port) {
      const auto out = fresh.FromClient(
          Datagram{.source = {family.client.address, net::Be16(port)}, .destination = family.vip});
      EXPECT_EQ(out.verdict, port <= 9 ? Verdict::kForwarded : Verdict::kSessionLimit)
          << kind.name << " " << port;
      if (out.verdict == Verdict::kForwarded) ++sessions[out.seen.destination];
    }
    EXPECT_EQ(sessions[family.backend(0)], 3u) << kind.name;
    EXPECT_EQ(sessions[family.backend(2)], 6u) << kind.name;
    EXPECT_EQ(fresh.worker().services[service.slot].session_limit_packets.value(), 11u);
  }
}

// With nobody to pass a session to, the limit is not the reason.
TEST_P(SessionLimit, NoBackendIsStillNoBackend) {
  for (core::Backend& backend : Service().backends) {
    backend.available = false;
    backend.max_sessions = 0;
  }
  box.Compile();
  EXPECT_EQ(SendForetold(1), Verdict::kNoBackend);
  EXPECT_EQ(Refused(), 0u);
}

// Lowered under what lives: nothing is ended for it.
TEST_P(SessionLimit, ALoweredLimitEndsNothing) {
  for (uint16_t port = 1; port <= 5; ++port) Send(port);
  Service().max_sessions = 1;
  box.Compile();
  for (uint16_t port = 1; port <= 5; ++port) EXPECT_EQ(SendForetold(port), Verdict::kForwarded);
  EXPECT_EQ(SendForetold(6), Verdict::kSessionLimit);
}

}  // namespace
}  // namespace steelyard::test
