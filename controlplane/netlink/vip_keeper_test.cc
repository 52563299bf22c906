// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/vip_keeper.h"

#include <filesystem>

#include "controlplane/netlink/test_namespace.h"

namespace steelyard::controlplane {
namespace {

using namespace std::chrono_literals;

TEST(VipInterfaces, FindsTheTwinWithTheLongestConnectedPrefix) {
  const auto address = [](const char* text) { return *net::ParseIpAddress(text); };
  KernelNetwork network;
  network.links = {{1, {1, "lo"}}, {2, {2, "steel0"}}, {3, {3, "steel1"}}, {4, {4, "eth0"}}};
  network.addresses = {{2, address("10.0.0.1"), 8},
                       {3, address("10.0.1.1"), 24},
                       {3, address("2001:db8::1"), 64},
                       {4, address("192.0.2.1"), 24},
                       {2, address("198.51.100.1"), 32}};
  const std::set<std::string> twins = {"steel0", "steel1"};
  const auto find = [&](const char* vip) {
    return VipInterfaces(network, twins).Find(address(vip));
  };
  EXPECT_EQ(find("10.0.1.10"), "steel1");
  EXPECT_EQ(find("10.0.2.10"), "steel0");
  EXPECT_EQ(find("2001:db8::10"), "steel1");
  EXPECT_EQ(find("2001:db9::10"), "lo");
  EXPECT_EQ(find("192.0.2.10"), "lo");    // connected, but not to a twin
  EXPECT_EQ(find("198.51.100.1"), "lo");  // an address is no connected prefix
}

class VipKeeperTest : public NamespaceTest {
 protected:
  void SetUp() override {
    NamespaceTest::SetUp();
    if (IsSkipped()) return;
    std::string pattern = (std::filesystem::temp_directory_path() / "steelyard-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    MakeNeighbour();
    Restart();
  }
  void TearDown() override {
    NamespaceTest::TearDown();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  // As after a crash: nothing is left but the record on the disk.
  void Restart() {
    keeper_.reset();
    monitor_.reset();
    requests_.reset();
    record_ = std::make_unique<VipRecord>(folder_ + "/vips");
    ASSERT_TRUE(record_->Load());
    requests_.emplace(io_);
    monitor_.emplace(io_, *requests_);
    keeper_.emplace(io_, *requests_, *monitor_, *record_);
    monitor_->on_change = [this] { keeper_->Reconcile(); };
    monitor_->Start();
  }

  bool IsOn(const char* interface, const char* address) {
    const KernelLink* link = monitor_->network().FindLink(interface);
    const net::IpAddress parsed = Address(address);
    return link &&
           monitor_->network().addresses.contains({link->index, parsed, parsed.bit_length()});
  }

  std::string folder_;
  std::unique_ptr<VipRecord> record_;
  std::optional<NetlinkRequests> requests_;
  std::optional<NetworkMonitor> monitor_;
  std::optional<VipKeeper> keeper_;
};

TEST_F(VipKeeperTest, PutsVipsWhereTheyBelongAndTakesThemAway) {
  keeper_->SetTwins({"steel0"});
  keeper_->SetWanted({Address("192.0.2.10"), Address("2001:db8::10"), Address("203.0.113.1"),
                      Address("2001:db8:9::1")});
  EXPECT_TRUE(RunUntil([&] {
    return IsOn("steel0", "192.0.2.10") && IsOn("steel0", "2001:db8::10") &&
           IsOn("lo", "203.0.113.1") && IsOn("lo", "2001:db8:9::1");
  }));
  // Deprecated, not tentative, and no route of its own.
  Ip("-6 addr show dev steel0 to 2001:db8::10 deprecated -tentative | grep -q 2001:db8::10/128");
  EXPECT_NE(std::system("ip -6 route show 2001:db8::10 | grep -q ."), 0);
  keeper_->SetWanted({Address("192.0.2.10")});
  EXPECT_TRUE(RunUntil([&] {
    return !IsOn("steel0", "2001:db8::10") && !IsOn("lo", "203.0.113.1") &&
           !IsOn("lo", "2001:db8:9::1") && record_->places().size() == 1;
  }));
  EXPECT_TRUE(IsOn("steel0", "192.0.2.10"));
}

TEST_F(VipKeeperTest, LeavesAnAdministratorsAddressAlone) {
  Ip("addr add 203.0.113.1/32 dev lo");
  Ip("addr add 192.0.2.10/24 dev steel0");
  keeper_->SetTwins({"steel0"});
  keeper_->SetWanted({Address("203.0.113.1"), Address("192.0.2.10"), Address("203.0.113.2")});
  ASSERT_TRUE(RunUntil([&] { return IsOn("lo", "203.0.113.2"); }));
  EXPECT_FALSE(IsOn("steel0", "192.0.2.10"));
  EXPECT_EQ(record_->places().size(), 1u);
  keeper_->SetWanted({});
  ASSERT_TRUE(RunUntil([&] { return !IsOn("lo", "203.0.113.2"); }));
  EXPECT_TRUE(IsOn("lo", "203.0.113.1"));
}

TEST_F(VipKeeperTest, CleansUpAfterACrash) {
  keeper_->SetTwins({"steel0"});
  keeper_->SetWanted({Address("203.0.113.1"), Address("192.0.2.10")});
  ASSERT_TRUE(RunUntil([&] { return IsOn("lo", "203.0.113.1") && IsOn("steel0", "192.0.2.10"); }));
  Restart();
  keeper_->SetWanted({Address("192.0.2.10")});
  EXPECT_TRUE(RunUntil([&] { return monitor_->complete() && !IsOn("lo", "203.0.113.1"); }));
  EXPECT_TRUE(IsOn("steel0", "192.0.2.10"));
}

TEST_F(VipKeeperTest, PlacesNothingBeforeTheTwinsAreKnown) {
  keeper_->SetWanted({Address("192.0.2.10")});
  EXPECT_FALSE(
      RunUntil([&] { return IsOn("steel0", "192.0.2.10") || IsOn("lo", "192.0.2.10"); }, 200ms));
  keeper_->SetTwins({"steel0"});
  EXPECT_TRUE(RunUntil([&] { return IsOn("steel0", "192.0.2.10"); }));
}

TEST_F(VipKeeperTest, MovesAVipWhenItsTwinComes) {
  keeper_->SetTwins({"steel1"});
  keeper_->SetWanted({Address("198.51.100.10")});
  ASSERT_TRUE(RunUntil([&] { return IsOn("lo", "198.51.100.10"); }));
  Ip("link add steel1 type veth peer name other1");
  Ip("addr add 198.51.100.1/24 dev steel1");
  EXPECT_TRUE(
      RunUntil([&] { return IsOn("steel1", "198.51.100.10") && !IsOn("lo", "198.51.100.10"); }));
  Ip("link del steel1");
  EXPECT_TRUE(RunUntil([&] { return IsOn("lo", "198.51.100.10"); }));
}

TEST_F(VipKeeperTest, PutsBackWhatSomebodyTookAway) {
  keeper_->SetTwins({"steel0"});
  keeper_->SetWanted({Address("192.0.2.10")});
  ASSERT_TRUE(RunUntil([&] { return IsOn("steel0", "192.0.2.10"); }));
  Ip("addr del 192.0.2.10/32 dev steel0");
  ASSERT_TRUE(RunUntil([&] { return !IsOn("steel0", "192.0.2.10"); }));
  EXPECT_TRUE(RunUntil([&] { return IsOn("steel0", "192.0.2.10"); }));
}

}  // namespace
}  // namespace steelyard::controlplane
