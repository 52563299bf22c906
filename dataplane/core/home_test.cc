// SPDX-License-Identifier: Apache-2.0
#include "core/home.h"

#include <gtest/gtest.h>

#include "core/forward/forwarding_mode.h"
#include "core/snapshot.h"
#include "packet/box.h"

namespace steelyard::core {
namespace {

using net::Endpoint;
using net::FlowKey;
using net::L4Protocol;

class Home : public testing::Test {
 protected:
  uint32_t BucketOf(const Endpoint& from, const Endpoint& to,
                    L4Protocol protocol = L4Protocol::kTcp) {
    return HomeBucketOf(box.snapshot, FlowKey(from, to, protocol));
  }
  uint32_t HashBucketOf(const Endpoint& from, const Endpoint& to) {
    return box.snapshot.steering->BucketOf(FlowKey(from, to, L4Protocol::kTcp));
  }
  static Endpoint Client(uint16_t port, const char* address = "198.51.100.7") {
    return test::Host(address, port);
  }
  test::Box box;
};

TEST_F(Home, AsARuleTheHashIsIt) {
  box.AddUsualServices();
  for (uint16_t port = 1; port < 1000; ++port)
    EXPECT_EQ(BucketOf(Client(port), test::kVip4), HashBucketOf(Client(port), test::kVip4));
}

TEST_F(Home, RepliesOfADnatBackendHaveThatOfTheClientsFlow) {
  box.mode = &Dnat();
  box.AddService(test::kVip4, L4Protocol::kTcp, 2);
  box.Compile();
  for (uint16_t port = 1; port < 1000; ++port)
    for (const uint8_t backend : {uint8_t{0}, uint8_t{1}})
      EXPECT_EQ(BucketOf(test::Backend4(backend), Client(port)),
                BucketOf(Client(port), test::kVip4));
}

TEST_F(Home, ServicesThatShareADnatBackendHaveAllOfAClientsFlows) {
  box.mode = &Dnat();
  const Endpoint other_vip = test::Host("10.0.1.11", 81);
  box.AddService(test::kVip4, L4Protocol::kTcp, 2);
  box.AddService(other_vip, L4Protocol::kTcp, 1);
  box.Compile();
  const uint32_t home = BucketOf(Client(1), test::kVip4);
  for (uint16_t port = 1; port < 100; ++port) {
    EXPECT_EQ(BucketOf(Client(port), test::kVip4), home);
    EXPECT_EQ(BucketOf(Client(port), other_vip), home);
    EXPECT_EQ(BucketOf(test::Backend4(0), Client(port)), home);
    EXPECT_EQ(BucketOf(test::Backend4(1), Client(port)), home);
  }
}

TEST_F(Home, ClientsThatAreRememberedHaveOne) {
  Service& service = box.AddService(test::kVip4, L4Protocol::kTcp, 2);
  service.persistence = {.enabled = true, .ipv4_prefix_length = 24};
  box.Compile();
  const uint32_t home = BucketOf(Client(1), test::kVip4);
  for (uint16_t port = 1; port < 100; ++port) {
    EXPECT_EQ(BucketOf(Client(port), test::kVip4), home);
    EXPECT_EQ(BucketOf(Client(port, "198.51.100.200"), test::kVip4), home);
  }
  std::set<uint32_t> homes;
  for (int network = 0; network < 100; ++network)
    homes.insert(
        BucketOf(Client(1, ("198.51." + std::to_string(network) + ".7").c_str()), test::kVip4));
  EXPECT_GT(homes.size(), 20u);

  box.services[0].persistence.enabled = false;
  box.Compile();
  EXPECT_EQ(BucketOf(Client(99), test::kVip4), home) << "its sessions are still there";
}

TEST_F(Home, RepliesOfABackendThatIsGoneFindTheirSessions) {
  box.mode = &Dnat();
  box.AddService(test::kVip4, L4Protocol::kTcp, 2);
  box.Compile();
  box.services[0].backends.pop_back();
  box.Compile();
  for (uint16_t port = 1; port < 100; ++port)
    EXPECT_EQ(BucketOf(test::Backend4(1), Client(port)), BucketOf(Client(port), test::kVip4));
  const Service* services[] = {box.snapshot.services[0].get()};
  const HomeRules without_sessions =
      MakeHomeRules(services, *box.snapshot.home_rules, [](uint32_t) { return false; });
  EXPECT_EQ(without_sessions.replies.size(), 1u);
}

TEST_F(Home, AMappingIsWhereAllItsFlowsAre) {
  box.AddGateway().service.endpoint_independent_udp = true;
  box.Compile();
  const Endpoint inside = test::Host("10.0.2.50", 5000);
  const uint32_t home = BucketOf(inside, test::Host("192.0.2.1", 53), L4Protocol::kUdp);
  for (uint16_t port = 1; port < 100; ++port) {
    EXPECT_EQ(BucketOf(inside, test::Host("192.0.2.2", port), L4Protocol::kUdp), home);
    EXPECT_EQ(BucketOf(inside, {test::kOutside4, net::Be16(port)}, L4Protocol::kUdp), home);
  }
  const Endpoint outside{test::kOutside4, net::Be16(4000)};
  const uint32_t from_outside = BucketOf(test::Host("192.0.2.1", 53), outside, L4Protocol::kUdp);
  for (uint16_t port = 1; port < 100; ++port)
    EXPECT_EQ(BucketOf(test::Host("192.0.2.9", port), outside, L4Protocol::kUdp), from_outside);
}

}  // namespace
}  // namespace steelyard::core
