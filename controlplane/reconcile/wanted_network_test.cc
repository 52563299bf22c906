// SPDX-License-Identifier: Apache-2.0
#include "controlplane/reconcile/wanted_network.h"

#include <gtest/gtest.h>

namespace steelyard::controlplane {
namespace {

net::IpAddress Address(const char* text) {
  return *net::ParseIpAddress(text);
}
net::Prefix Net(const char* text) {
  return *net::ParsePrefix(text);
}

KernelNetwork TwoTwins() {
  KernelNetwork network;
  network.links = {{1, {1, "lo", true}},
                   {2, {2, "eth0", true}},
                   {7, {7, "steel0", true}},
                   {8, {8, "steel1", true}}};
  network.addresses = {{1, Address("127.0.0.1"), 8},     {1, Address("::1"), 128},
                       {1, Address("192.0.2.80"), 32},   {2, Address("192.0.2.1"), 24},
                       {7, Address("10.0.1.1"), 24},     {7, Address("10.0.1.1"), 32},
                       {8, Address("2001:db8:2::1"), 64}};
  network.routes = {
      {Net("10.0.1.0/24"), 0, 0, {{7, {}}}},
      {Net("10.0.2.0/24"), 0, 0, {{8, {}}}},
      {Net("0.0.0.0/0"), 100, 0, {{2, Address("192.0.2.254")}}},
      {Net("0.0.0.0/0"), 300, 0, {{7, Address("10.0.1.253")}}},
      {Net("0.0.0.0/0"), 200, 0, {{8, Address("10.0.2.254")}, {7, Address("10.0.1.254")}}},
      {Net("10.9.0.0/16"), 0, 1300, {{2, Address("192.0.2.9")}, {7, Address("10.0.1.9")}}},
      {Net("10.0.1.1/32"), 0, 0, {{7, {}}}},  // the box's own
      {Net("2001:db8::/32"), 0, 0, {{7, Address("fe80::1")}}},
  };
  network.neighbours = {
      {{7, Address("10.0.1.9")},
       {*net::ParseMacAddress("02:00:00:00:00:09"), NeighbourState::kUsable}},
      {{7, Address("10.0.1.8")}, {{}, NeighbourState::kAsking}},
      {{7, Address("10.0.1.7")},
       {*net::ParseMacAddress("02:00:00:00:00:07"), NeighbourState::kFailed}},
      {{2, Address("192.0.2.9")},
       {*net::ParseMacAddress("02:00:00:00:00:0a"), NeighbourState::kUsable}},
  };
  return network;
}

PortList Ports() {
  PortList ports;
  for (const auto& [id, name] : {std::pair{0, "steel0"}, {1, "steel1"}, {2, "steel2"}}) {
    v1::Port* port = ports.Add();
    port->set_id(static_cast<uint32_t>(id));
    port->set_kernel_interface(name);
  }
  return ports;
}

TEST(WantedNetwork, FindsTheTwinsThatTheKernelHas) {
  const Twins twins = FindTwins(TwoTwins(), Ports());
  EXPECT_EQ(twins, (Twins{{7, 0}, {8, 1}}));
}

TEST(WantedNetwork, HoldsOnlyWhatLeavesThroughATwin) {
  const KernelNetwork network = TwoTwins();
  const WantedNetwork wanted = MakeWantedNetwork(network, FindTwins(network, Ports()));
  ASSERT_EQ(wanted.routes.size(), 5u);
  EXPECT_EQ(wanted.routes.at("10.0.1.0/24").ShortDebugString(),
            "prefix: \"10.0.1.0/24\" gateways { }");
  EXPECT_EQ(wanted.routes.at("10.0.2.0/24").ShortDebugString(),
            "prefix: \"10.0.2.0/24\" gateways { port_id: 1 }");
  // The lowest metric among the twins', both paths, in one order.
  EXPECT_EQ(wanted.routes.at("0.0.0.0/0").ShortDebugString(),
            "prefix: \"0.0.0.0/0\" gateways { address: \"10.0.1.254\" } "
            "gateways { port_id: 1 address: \"10.0.2.254\" }");
  // The path through eth0 is left out.
  EXPECT_EQ(wanted.routes.at("10.9.0.0/16").ShortDebugString(),
            "prefix: \"10.9.0.0/16\" gateways { address: \"10.0.1.9\" } mtu: 1300");
  EXPECT_EQ(wanted.routes.at("2001:db8::/32").gateways(0).address(), "fe80::1");

  ASSERT_EQ(wanted.neighbours.size(), 1u);
  EXPECT_EQ(wanted.neighbours.begin()->second.ShortDebugString(),
            "address: \"10.0.1.9\" mac: \"02:00:00:00:00:09\"");
}

TEST(WantedNetwork, HoldsTheBoxsAddressesWhereverTheyAre) {
  const KernelNetwork network = TwoTwins();
  std::map<std::string, std::string> held;
  for (const auto& [key, address] :
       MakeWantedNetwork(network, FindTwins(network, Ports())).addresses)
    held[key] = address.ShortDebugString();
  const std::map<std::string, std::string> expected = {
      // The larger of its two networks, and no loopback address.
      {"0 10.0.1.1", "port_id: 0 address: \"10.0.1.1\" prefix_length: 24"},
      {"1 2001:db8:2::1", "port_id: 1 address: \"2001:db8:2::1\" prefix_length: 64"},
      {"192.0.2.1", "address: \"192.0.2.1\" prefix_length: 24"},
      {"192.0.2.80", "address: \"192.0.2.80\" prefix_length: 32"},
  };
  EXPECT_EQ(held, expected);
}

TEST(WantedNetwork, HasNoWayOutWithoutTwins) {
  const WantedNetwork wanted = MakeWantedNetwork(TwoTwins(), {});
  EXPECT_TRUE(wanted.routes.empty());
  EXPECT_TRUE(wanted.neighbours.empty());
  for (const auto& [key, address] : wanted.addresses) EXPECT_FALSE(address.has_port_id());
}

TEST(WantedNetwork, FindsNextHopsByTheLongestMatch) {
  const KernelNetwork network = TwoTwins();
  const std::set<NeighbourKey> next_hops = FindNextHops(
      network, FindTwins(network, Ports()),
      {Address("10.0.2.11"), Address("10.9.1.1"), Address("10.0.1.1"), Address("2001:db9::1")});
  const std::set<NeighbourKey> expected = {
      {8, Address("10.0.2.11")},                               // on the link
      {7, Address("10.0.1.9")},                                // behind a gateway
      {7, Address("10.0.1.254")}, {8, Address("10.0.2.254")},  // gateways of other routes
      {7, Address("fe80::1")},
  };
  EXPECT_EQ(next_hops, expected);
}

}  // namespace
}  // namespace steelyard::controlplane
