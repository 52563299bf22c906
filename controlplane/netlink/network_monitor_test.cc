// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/network_monitor.h"

#include <algorithm>
#include <thread>

#include "controlplane/netlink/test_namespace.h"

namespace steelyard::controlplane {
namespace {

class NetworkMonitorTest : public NamespaceTest {
 protected:
  void SetUp() override {
    NamespaceTest::SetUp();
    if (IsSkipped()) return;
    requests_.emplace(io_);
    monitor_.emplace(io_, *requests_);
    monitor_->on_change = [this] { ++changes_; };
  }

  const KernelRoute* Route(const char* prefix) {
    for (const KernelRoute& route : monitor_->network().routes)
      if (net::ToString(route.prefix) == prefix) return &route;
    return nullptr;
  }

  std::optional<NeighbourState> Neighbour(const char* address) {
    for (const auto& [key, neighbour] : monitor_->network().neighbours)
      if (net::ToString(key.second) == address) return neighbour.state;
    return std::nullopt;
  }

  std::optional<NetlinkRequests> requests_;
  std::optional<NetworkMonitor> monitor_;
  int changes_ = 0;
};

TEST_F(NetworkMonitorTest, ReadsWhatIsThereAtTheStart) {
  MakeNeighbour();
  Ip("route add 198.51.100.0/24 via 192.0.2.2 mtu 1300");
  Ip("route add 2001:db8:1::/48 via 2001:db8::2 mtu 1400");
  Ip("neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev steel0 nud permanent");
  Ip("route add 203.0.113.0/24 via 192.0.2.2 table 100");
  Ip("route add blackhole 233.252.0.0/24");
  monitor_->Start();
  EXPECT_FALSE(monitor_->complete());
  ASSERT_TRUE(RunUntil([&] { return changes_ > 0; }));
  EXPECT_TRUE(monitor_->complete());

  const KernelLink* link = monitor_->network().FindLink("steel0");
  ASSERT_NE(link, nullptr);
  EXPECT_TRUE(link->up);
  EXPECT_FALSE(link->mac.IsZero());
  EXPECT_TRUE(monitor_->network().addresses.contains({link->index, Address("192.0.2.1"), 24}));
  EXPECT_TRUE(monitor_->network().addresses.contains({link->index, Address("2001:db8::1"), 64}));

  ASSERT_NE(Route("192.0.2.0/24"), nullptr);
  EXPECT_EQ(Route("192.0.2.0/24")->next_hops, (std::vector<KernelNextHop>{{link->index, {}}}));
  EXPECT_EQ(Route("192.0.2.0/24")->mtu, 0u);
  ASSERT_NE(Route("198.51.100.0/24"), nullptr);
  EXPECT_EQ(Route("198.51.100.0/24")->mtu, 1300u);
  ASSERT_NE(Route("2001:db8:1::/48"), nullptr);
  EXPECT_EQ(Route("2001:db8:1::/48")->mtu, 1400u);
  EXPECT_EQ(Route("2001:db8:1::/48")->next_hops,
            (std::vector<KernelNextHop>{{link->index, Address("2001:db8::2")}}));
  EXPECT_EQ(Route("203.0.113.0/24"), nullptr);
  EXPECT_EQ(Route("233.252.0.0/24"), nullptr);
  EXPECT_EQ(Route("fe80::/64"), nullptr);
  EXPECT_EQ(Neighbour("192.0.2.7"), NeighbourState::kUsable);
}

TEST_F(NetworkMonitorTest, FollowsChanges) {
  monitor_->Start();
  ASSERT_TRUE(RunUntil([&] { return monitor_->complete(); }));
  MakeNeighbour();
  EXPECT_TRUE(RunUntil([&] { return Route("192.0.2.0/24") && Route("2001:db8::/64"); }));
  Ip("route add default proto static nexthop via 192.0.2.2 nexthop via 192.0.2.3");
  ASSERT_TRUE(RunUntil([&] { return Route("0.0.0.0/0") != nullptr; }));
  EXPECT_EQ(Route("0.0.0.0/0")->next_hops.size(), 2u);
  Ip("route del default");
  EXPECT_TRUE(RunUntil([&] { return Route("0.0.0.0/0") == nullptr; }));
  Ip("addr del 192.0.2.1/24 dev steel0");
  EXPECT_TRUE(RunUntil([&] { return Route("192.0.2.0/24") == nullptr; }));
  Ip("link del steel0");
  EXPECT_TRUE(RunUntil([&] {
    const KernelNetwork& network = monitor_->network();
    return !network.FindLink("steel0") && !Route("2001:db8::/64") &&
           std::all_of(network.addresses.begin(), network.addresses.end(),
                       [](const auto& a) { return a.interface_index == 1; });
  }));
}

TEST_F(NetworkMonitorTest, FollowsEachPathOfAnIpv6Route) {
  MakeNeighbour();
  monitor_->Start();
  Ip("route add 2001:db8:1::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3");
  ASSERT_TRUE(RunUntil([&] { return Route("2001:db8:1::/48") != nullptr; }));
  EXPECT_TRUE(RunUntil([&] { return Route("2001:db8:1::/48")->next_hops.size() == 2; }));
  Ip("-6 route append 2001:db8:1::/48 via 2001:db8::4");
  EXPECT_TRUE(RunUntil([&] { return Route("2001:db8:1::/48")->next_hops.size() == 3; }));
  Ip("route del 2001:db8:1::/48 via 2001:db8::3");
  EXPECT_TRUE(RunUntil([&] { return Route("2001:db8:1::/48")->next_hops.size() == 2; }));
}

TEST_F(NetworkMonitorTest, SeesRoutesGoWithTheirInterface) {
  MakeNeighbour();
  Ip("route add 198.51.100.0/24 via 192.0.2.2");
  monitor_->Start();
  ASSERT_TRUE(RunUntil([&] { return Route("198.51.100.0/24") != nullptr; }));
  // The kernel says nothing about the IPv4 routes here.
  Ip("link set steel0 down");
  EXPECT_TRUE(RunUntil([&] { return Route("198.51.100.0/24") == nullptr; }));
}

TEST_F(NetworkMonitorTest, ResolvesNeighboursOfBothFamilies) {
  MakeNeighbour();
  monitor_->Start();
  ASSERT_TRUE(RunUntil([&] { return monitor_->network().FindLink("steel0") != nullptr; }));
  const int index = monitor_->network().FindLink("steel0")->index;
  for (const char* address : {"192.0.2.2", "2001:db8::2"}) {
    requests_->Change(BuildResolveRequest({index, Address(address)}),
                      [](int error) { EXPECT_EQ(error, 0); });
    EXPECT_TRUE(RunUntil([&] { return Neighbour(address) == NeighbourState::kUsable; })) << address;
  }
  requests_->Change(BuildResolveRequest({index, Address("192.0.2.99")}), {});
  EXPECT_TRUE(RunUntil([&] { return Neighbour("192.0.2.99") == NeighbourState::kFailed; },
                       std::chrono::seconds(6)));
}

TEST_F(NetworkMonitorTest, ReadsATableOfManyRoutes) {
  MakeNeighbour();
  FILE* batch = popen("ip -batch -", "w");
  ASSERT_NE(batch, nullptr);
  for (int i = 0; i < 5000; ++i)
    fprintf(batch, "route add 10.%d.%d.0/24 via 192.0.2.2\n", i / 256, i % 256);
  ASSERT_EQ(pclose(batch), 0);
  monitor_->Start();
  ASSERT_TRUE(RunUntil([&] { return monitor_->complete(); }));
  EXPECT_GE(monitor_->network().routes.size(), 5000u);
}

TEST_F(NetworkMonitorTest, TellsChangesTogetherWhenTellingTakesLong) {
  using Clock = std::chrono::steady_clock;
  constexpr int kAddresses = 20;
  constexpr std::chrono::milliseconds kTelling{10};
  monitor_->Start();
  ASSERT_TRUE(RunUntil([&] { return monitor_->complete() && changes_ > 0; }));
  changes_ = 0;
  size_t told = 0;
  monitor_->on_change = [&] {
    ++changes_;
    told = monitor_->network().addresses.size();
    std::this_thread::sleep_for(kTelling);
  };
  const size_t before = monitor_->network().addresses.size();
  const auto began = Clock::now();
  const int loopback = monitor_->network().FindLink("lo")->index;
  for (int i = 0; i < kAddresses; ++i)
    requests_->Change(
        BuildAddAddressRequest(loopback, Address(("192.0.2." + std::to_string(1 + i)).c_str())),
        [](int error) { EXPECT_EQ(error, 0); });
  EXPECT_TRUE(RunUntil([&] { return told == before + kAddresses; }));
  // At least ten times as long passes between two calls.
  EXPECT_LE((changes_ - 1) * 10 * kTelling, Clock::now() - began);
}

TEST_F(NetworkMonitorTest, RepairsItselfAfterLostEvents) {
  MakeNeighbour();
  monitor_->Start();
  ASSERT_TRUE(RunUntil([&] { return monitor_->complete(); }));
  // More events than the socket's buffer holds, while nobody reads.
  FILE* batch = popen("ip -batch -", "w");
  ASSERT_NE(batch, nullptr);
  for (int round = 0; round < 20; ++round)
    for (int i = 1; i < 1000; ++i)
      fprintf(batch, "neigh replace 192.0.2.%d lladdr 02:00:00:00:%02x:%02x dev steel0\n",
              3 + i % 250, round, i % 250);
  ASSERT_EQ(pclose(batch), 0);
  Ip("neigh add 192.0.2.254 lladdr 02:00:00:00:00:fe dev steel0");
  EXPECT_TRUE(RunUntil([&] { return Neighbour("192.0.2.254") == NeighbourState::kUsable; }));
  const auto last = monitor_->network().neighbours.find(
      {monitor_->network().FindLink("steel0")->index, Address("192.0.2.3")});
  ASSERT_NE(last, monitor_->network().neighbours.end());
  EXPECT_EQ(net::ToString(last->second.mac), "02:00:00:00:13:00");
}

}  // namespace
}  // namespace steelyard::controlplane
