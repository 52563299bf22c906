// SPDX-License-Identifier: Apache-2.0
//
// Modes whose backends answer clients directly go on without sessions where there is no room for
// one, and choose as Maglev does.
#include <gtest/gtest.h>

#include <map>

#include "packet/connection.h"

namespace steelyard::test {
namespace {

using net::kTcpAck;
using net::kTcpSyn;
using net::Verdict;

struct ModeCase {
  const char* name;
  const core::ForwardingMode& mode;
  const FamilyCase& family;
};
const ModeCase kModeCases[] = {
    {"DirectIPv4", core::Direct(), kFamilyCases[0]},
    {"DirectIPv6", core::Direct(), kFamilyCases[1]},
    {"TunnelIPv4", core::Tunnel(), kFamilyCases[0]},
    {"TunnelIPv6", core::Tunnel(), kFamilyCases[1]},
};

class Stateless : public testing::TestWithParam<ModeCase> {
 protected:
  static constexpr uint32_t kCapacity = 16;

  Stateless() : box({.capacity = {kCapacity, kCapacity}}) { Configure(box); }

  static void Configure(Box& which) {
    which.mode = &GetParam().mode;
    which.AddUsualServices(8);
    for (core::Service& service : which.services)
      for (core::Backend& backend : service.backends) backend.endpoint.port = service.address.port;
    which.Compile();
  }

  Box::Outcome Send(uint32_t client, uint8_t flags) {
    return box.FromClient(Segment{.source = Client(client),
                                  .destination = family.vip,
                                  .flags = flags,
                                  .payload = flags == kTcpAck ? Pattern(100) : Bytes{}});
  }
  Box::Outcome SendDatagram(uint32_t client) {
    return box.FromClient(
        Datagram{.source = Client(client), .destination = family.vip, .payload = Pattern(100)});
  }
  net::Endpoint Client(uint32_t number) const {
    return {family.client.address, net::Be16(static_cast<uint16_t>(1024 + number))};
  }
  core::Pipeline::Preview Look(uint32_t client, net::L4Protocol protocol) {
    return box.pipeline().Look(box.snapshot, {Client(client), family.vip, protocol}, box.now_ns);
  }
  uint64_t stateless_packets() { return box.worker().counters.stateless_packets.value(); }

  const FamilyCase& family = GetParam().family;
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Mode, Stateless, testing::ValuesIn(kModeCases),
                         [](const auto& at) { return std::string(at.param.name); });

TEST_P(Stateless, AFullTableRefusesNobodyAndKeepsFlowsTogether) {
  std::map<net::MacAddress, int> share;
  for (uint32_t client = 0; client < 400; ++client) {
    const auto syn = Send(client, kTcpSyn);
    ASSERT_EQ(syn.verdict, Verdict::kForwarded);
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(Send(client, kTcpAck).seen.destination_mac, syn.seen.destination_mac);
    ++share[syn.seen.destination_mac];
  }
  EXPECT_EQ(box.sessions().size(), kCapacity);
  EXPECT_EQ(stateless_packets(), (400u - kCapacity) * 4);
  EXPECT_EQ(share.size(), 8u);
  for (const auto& [mac, flows] : share) EXPECT_GT(flows, 20) << "spread";
}

TEST_P(Stateless, EveryBoxChoosesAlike) {
  Box other({.secret = {{1, 2, 3, 4, 5}}});
  Configure(other);
  for (uint32_t client = 0; client < 100; ++client) {
    const Segment middle{.source = Client(client), .destination = family.vip};
    EXPECT_EQ(box.FromClient(middle).seen.destination_mac,
              other.FromClient(middle).seen.destination_mac);
  }
}

// The connection's session was lost, or it never had one.
TEST_P(Stateless, ASegmentInTheMiddleOpensNoSession) {
  EXPECT_EQ(Send(1, kTcpAck).verdict, Verdict::kForwarded);
  EXPECT_EQ(box.sessions().size(), 0u);
}

TEST_P(Stateless, NewFlowsBeyondTheRateGoOnWithoutSessions) {
  constexpr uint64_t kPerSecond = 10;
  for (core::Service& service : box.services)
    service.new_session_interval_ns = 1'000'000'000 / kPerSecond;
  box.Compile();
  for (uint32_t client = 0; client < 100; ++client)
    ASSERT_EQ(SendDatagram(client).verdict, Verdict::kForwarded);
  EXPECT_EQ(box.sessions().size(), 1u) << "a tenth of a second's worth at once";
  box.Pass(1000);
  for (uint32_t client = 100; client < 200; ++client) SendDatagram(client);
  EXPECT_EQ(box.sessions().size(), 2u);
  EXPECT_EQ(stateless_packets(), 198u);
}

// What a look shows is what the next packet meets, with room for sessions and without.
TEST_P(Stateless, LookSeesWhatGoesOnWithoutASession) {
  for (core::Service& service : box.services)
    if (service.protocol == net::L4Protocol::kUdp) service.new_session_interval_ns = 100'000'000;
  box.Compile();
  for (const auto protocol : {net::L4Protocol::kUdp, net::L4Protocol::kTcp}) {
    for (uint32_t client = 0; client < 4 * kCapacity; ++client) {
      const auto preview = Look(client, protocol);
      EXPECT_EQ(preview.verdict, Verdict::kForwarded);
      ASSERT_NE(preview.backend, nullptr);
      const uint64_t before = stateless_packets();
      const auto sent =
          protocol == net::L4Protocol::kTcp ? Send(client, kTcpSyn) : SendDatagram(client);
      EXPECT_EQ(sent.seen.destination_mac, MacOf(preview.backend->endpoint.address));
      EXPECT_EQ(preview.is_stateless, stateless_packets() == before + 1) << client;
    }
  }
  EXPECT_EQ(box.sessions().size(), kCapacity);
}

TEST_P(Stateless, ErrorsAboutABackendsAnswersFindItWithoutASession) {
  const auto data = Send(7, kTcpAck);
  const bool v4 = family.client.address.is_v4();
  const Bytes answer =
      TcpFrame({.source = family.vip, .destination = Client(7), .payload = Pattern(900)});
  const auto error =
      box.Receive(kClientPort, IcmpFrame(family.router, family.vip.address, v4 ? 3 : 2, v4 ? 4 : 0,
                                         1300, Slice(answer, 14, 14 + 500)));
  ASSERT_EQ(error.verdict, Verdict::kForwarded);
  EXPECT_EQ(error.seen.destination_mac, data.seen.destination_mac);
  EXPECT_EQ(box.sessions().size(), 0u);
}

TEST_P(Stateless, WithoutABackendThereIsNoWay) {
  for (core::Service& service : box.services)
    for (core::Backend& backend : service.backends) backend.available = false;
  box.Compile();
  EXPECT_EQ(Send(1, kTcpAck).verdict, Verdict::kNoBackend);
}

}  // namespace
}  // namespace steelyard::test
