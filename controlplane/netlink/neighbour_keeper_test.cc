// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/neighbour_keeper.h"

#include "controlplane/netlink/test_namespace.h"

namespace steelyard::controlplane {
namespace {

using namespace std::chrono_literals;

class NeighbourKeeperTest : public NamespaceTest {
 protected:
  void SetUp() override {
    NamespaceTest::SetUp();
    if (IsSkipped()) return;
    MakeNeighbour();
    requests_.emplace(io_);
    monitor_.emplace(io_, *requests_);
    keeper_.emplace(io_, *requests_, *monitor_);
    monitor_->Start();
    keeper_->Start();
    ASSERT_TRUE(RunUntil([&] { return monitor_->complete(); }));
  }

  NeighbourKey Key(const char* address) {
    return {monitor_->network().FindLink("steel0")->index, Address(address)};
  }
  bool IsUsable(const char* address) {
    const auto at = monitor_->network().neighbours.find(Key(address));
    return at != monitor_->network().neighbours.end() &&
           at->second.state == NeighbourState::kUsable;
  }

  std::optional<NetlinkRequests> requests_;
  std::optional<NetworkMonitor> monitor_;
  std::optional<NeighbourKeeper> keeper_;
};

TEST_F(NeighbourKeeperTest, ResolvesWhatIsWantedAndWhatIsReported) {
  keeper_->SetWanted({Key("192.0.2.2")});
  // The kernel gives up after three questions, all of which a link that has just come up may lose;
  // the dataplane reports again with every packet that it cannot send.
  const auto both_are_usable = [&] {
    keeper_->Report(Key("2001:db8::2"));
    return IsUsable("192.0.2.2") && IsUsable("2001:db8::2");
  };
  EXPECT_TRUE(RunUntil(both_are_usable, 10s));
}

TEST_F(NeighbourKeeperTest, AsksAgainUntilAWantedNeighbourComes) {
  keeper_->SetWanted({Key("192.0.2.3")});
  EXPECT_FALSE(RunUntil([&] { return IsUsable("192.0.2.3"); }, 4500ms));
  PeerIp("addr add 192.0.2.3/24 dev eth0");
  EXPECT_TRUE(RunUntil([&] { return IsUsable("192.0.2.3"); }));
}

// A reported neighbour that was kept fresh a moment ago counted as asked for.
TEST_F(NeighbourKeeperTest, AsksAgainSoonForAReportedNeighbourThatTheKernelForgot) {
  const auto reported_is_usable = [&] {
    keeper_->Report(Key("192.0.2.2"));
    return IsUsable("192.0.2.2");
  };
  ASSERT_TRUE(RunUntil(reported_is_usable, 10s));
  Ip("neigh flush dev steel0");
  ASSERT_TRUE(RunUntil([&] { return !IsUsable("192.0.2.2"); }));
  EXPECT_TRUE(RunUntil(reported_is_usable, 2500ms));
}

TEST_F(NeighbourKeeperTest, AsksAgainWhenSomebodyForgetsAWantedNeighbour) {
  keeper_->SetWanted({Key("192.0.2.2")});
  ASSERT_TRUE(RunUntil([&] { return IsUsable("192.0.2.2"); }));
  Ip("neigh flush dev steel0");
  ASSERT_TRUE(RunUntil([&] { return !IsUsable("192.0.2.2"); }));
  EXPECT_TRUE(RunUntil([&] { return IsUsable("192.0.2.2"); }));
}

// A regression: the request to resolve made the kernel forget what the operator had set.
TEST_F(NeighbourKeeperTest, LeavesAPermanentNeighbourAlone) {
  const char* silent = "192.0.2.9";
  const NeighbourKey key = Key(silent);
  Ip(std::string("neigh add ") + silent + " lladdr 02:00:00:00:00:09 dev steel0 nud permanent");
  ASSERT_TRUE(RunUntil([&] { return IsUsable(silent); }));
  keeper_->SetWanted({key});
  keeper_->Report(key);
  EXPECT_FALSE(RunUntil([&] { return !IsUsable(silent); }, 6s));
  EXPECT_TRUE(monitor_->network().neighbours.at(key).is_permanent);
}

TEST_F(NeighbourKeeperTest, KeepsANeighbourFresh) {
  ASSERT_EQ(std::system("sysctl -qw net.ipv4.neigh.steel0.base_reachable_time_ms=2000 "
                        "net.ipv4.neigh.steel0.delay_first_probe_time=1"),
            0);
  keeper_->SetWanted({Key("192.0.2.2")});
  ASSERT_TRUE(RunUntil([&] { return IsUsable("192.0.2.2"); }));
  // A neighbour that is probed is noticed when it is gone; one that goes stale is believed for
  // ever.
  PeerIp("addr del 192.0.2.2/24 dev eth0");
  EXPECT_TRUE(RunUntil([&] { return !IsUsable("192.0.2.2"); }, 20s));
}

}  // namespace
}  // namespace steelyard::controlplane
