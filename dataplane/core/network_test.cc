// SPDX-License-Identifier: Apache-2.0
#include "core/network.h"

#include <gtest/gtest.h>

#include <set>

#include "packet/random.h"

namespace steelyard::core {
namespace {

using net::IpAddress;
using net::Prefix;

IpAddress Address(const char* text) {
  return *net::ParseIpAddress(text);
}
Prefix PrefixOf(const char* text) {
  return *net::ParsePrefix(text);
}
net::MacAddress Mac(uint8_t last) {
  return {{2, 0, 0, 0, 0, last}};
}

const std::vector<PortInfo> kPorts = {{Mac(1), 1500}, {Mac(2), 9000}};

// Few bits vary, so that prefixes nest and addresses meet them.
IpAddress SomeAddress(test::Random& random, bool v4) {
  const uint32_t mask = v4 ? 0xc3000081 : 0x80c00003;
  net::Ipv6Address v6;
  for (uint8_t& byte : v6.bytes) byte = static_cast<uint8_t>(random() % 4 == 0 ? 0x80 : 0);
  if (!v4) return v6;
  return net::Ipv4Address{net::Be32(random() & mask)};
}

const std::vector<Gateway>* BruteForce(const NetworkDescription& description,
                                       const IpAddress& destination) {
  const std::vector<Gateway>* best = nullptr;
  int best_length = -1;
  for (const auto& [prefix, gateways] : description.routes) {
    if (!prefix.Contains(destination) || prefix.length <= best_length) continue;
    best = &gateways;
    best_length = prefix.length;
  }
  return best;
}

TEST(Network, LongestPrefixEqualsBruteForce) {
  test::Random random(1);
  for (int trial = 0; trial < 60; ++trial) {
    NetworkDescription description;
    // Every route has a gateway of its own, by which it is known again.
    for (uint32_t i = 0; i < 1 + random() % 60; ++i) {
      const bool v4 = random() % 2;
      const int length = static_cast<int>(random() % (v4 ? 33 : 129));
      const IpAddress gateway = net::Ipv4Address{net::Be32(0xac100000 + i)};
      const PortId port = random() % 2;
      const uint16_t mtu = std::array<uint16_t, 3>{0, 1300, 9500}[random() % 3];
      description.routes[net::NetworkOf(SomeAddress(random, v4), length)] = {{port, gateway, mtu}};
      description.neighbours[{port, gateway}] = Mac(static_cast<uint8_t>(i));
    }
    const Network network(description, kPorts);
    for (int i = 0; i < 500; ++i) {
      const IpAddress destination = SomeAddress(random, random() % 2);
      const auto* expected = BruteForce(description, destination);
      const Network::Lookup lookup = network.Find(destination, random());
      ASSERT_EQ(lookup.outcome, expected ? Network::Outcome::kFound : Network::Outcome::kNoRoute)
          << net::ToString(destination);
      if (expected == nullptr) continue;
      const NextHop& next_hop = network.next_hop(lookup.next_hop);
      const Gateway& gateway = expected->front();
      ASSERT_EQ(next_hop.port, gateway.port);
      ASSERT_EQ(next_hop.destination, description.neighbours.at({gateway.port, *gateway.address}));
      ASSERT_EQ(next_hop.source, kPorts[gateway.port].mac);
      const uint16_t port_mtu = kPorts[gateway.port].mtu;
      ASSERT_EQ(next_hop.mtu, gateway.mtu != 0 ? std::min(gateway.mtu, port_mtu) : port_mtu);
    }
  }
}

TEST(Network, FamiliesDoNotMix) {
  NetworkDescription description;
  description.routes[PrefixOf("::/0")] = {{0, Address("fd00::1")}};
  description.neighbours[{0, Address("fd00::1")}] = Mac(9);
  const Network network(description, kPorts);
  EXPECT_EQ(network.Find(Address("192.0.2.1"), 0).outcome, Network::Outcome::kNoRoute);
  EXPECT_EQ(network.Find(Address("2001:db8::1"), 0).outcome, Network::Outcome::kFound);
}

TEST(Network, EqualCostGatewaysAreAllUsedAndAFlowKeepsItsOwn) {
  NetworkDescription description;
  auto& gateways = description.routes[PrefixOf("0.0.0.0/0")];
  for (const char* gateway : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) {
    description.neighbours[{0, Address(gateway)}] = Mac(static_cast<uint8_t>(gateways.size()));
    gateways.push_back({0, Address(gateway)});
  }
  const Network network(description, kPorts);
  test::Random random(2);
  std::map<uint16_t, int> used;
  for (int i = 0; i < 3000; ++i) {
    const uint32_t hash = random();
    const Network::Lookup lookup = network.Find(Address("192.0.2.1"), hash);
    ASSERT_EQ(lookup.outcome, Network::Outcome::kFound);
    EXPECT_EQ(network.Find(Address("198.51.100.1"), hash).next_hop, lookup.next_hop);
    ++used[lookup.next_hop];
  }
  EXPECT_EQ(used.size(), 3u);
  for (const auto& [next_hop, times] : used) EXPECT_NEAR(times, 1000, 150);
}

TEST(Network, OnLinkTheDestinationIsTheNeighbour) {
  NetworkDescription description;
  description.routes[PrefixOf("10.0.2.0/24")] = {{1, {}}};
  description.neighbours[{1, Address("10.0.2.11")}] = Mac(11);
  const Network network(description, kPorts);
  const Network::Lookup known = network.Find(Address("10.0.2.11"), 0);
  ASSERT_EQ(known.outcome, Network::Outcome::kFound);
  EXPECT_EQ(network.next_hop(known.next_hop).destination, Mac(11));
  const Network::Lookup unknown = network.Find(Address("10.0.2.12"), 0);
  EXPECT_EQ(unknown.outcome, Network::Outcome::kNoNeighbour);
  EXPECT_EQ(unknown.missing, (Neighbour{1, Address("10.0.2.12")}));
}

TEST(Network, AMissingGatewayIsNamed) {
  NetworkDescription description;
  description.routes[PrefixOf("0.0.0.0/0")] = {{0, Address("10.0.1.1")}};
  // The same address behind another port is another neighbour.
  description.neighbours[{1, Address("10.0.1.1")}] = Mac(1);
  const Network network(description, kPorts);
  const Network::Lookup lookup = network.Find(Address("192.0.2.1"), 0);
  EXPECT_EQ(lookup.outcome, Network::Outcome::kNoNeighbour);
  EXPECT_EQ(lookup.missing, (Neighbour{0, Address("10.0.1.1")}));
}

// An IPv4 route may have an IPv6 next hop (RFC 5549).
TEST(Network, AGatewayMayBeOfTheOtherFamily) {
  NetworkDescription description;
  description.routes[PrefixOf("192.0.2.0/24")] = {{0, Address("fe80::1")}};
  description.neighbours[{0, Address("fe80::1")}] = Mac(7);
  const Network network(description, kPorts);
  EXPECT_EQ(network.Find(Address("192.0.2.9"), 0).outcome, Network::Outcome::kFound);
}

// One neighbour is the next hop of routes with several MTUs.
TEST(Network, MtuIsTheRoutes) {
  NetworkDescription description;
  description.routes[PrefixOf("10.0.2.0/24")] = {{0, {}}};
  description.routes[PrefixOf("10.0.2.128/25")] = {{0, {}, 1400}};
  description.routes[PrefixOf("192.0.2.0/24")] = {{0, Address("10.0.2.129"), 1300}};
  description.routes[PrefixOf("198.51.100.0/24")] = {{0, Address("10.0.2.129")}};
  for (const char* host : {"10.0.2.1", "10.0.2.129"})
    description.neighbours[{0, Address(host)}] = Mac(5);
  const Network network(description, kPorts);
  const auto mtu = [&](const char* destination) {
    const Network::Lookup lookup = network.Find(Address(destination), 0);
    EXPECT_EQ(lookup.outcome, Network::Outcome::kFound);
    EXPECT_EQ(network.next_hop(lookup.next_hop).destination, Mac(5));
    return network.next_hop(lookup.next_hop).mtu;
  };
  EXPECT_EQ(mtu("10.0.2.1"), 1500);
  EXPECT_EQ(mtu("10.0.2.129"), 1400);
  EXPECT_EQ(mtu("192.0.2.1"), 1300);
  EXPECT_EQ(mtu("198.51.100.1"), 1500);
}

TEST(Network, AddressesOfThePortAreThoseToSpeakFrom) {
  NetworkDescription description;
  description.addresses = {{{0, Address("10.0.1.1")}, 32},    {{0, Address("10.0.1.9")}, 24},
                           {{0, Address("10.0.1.5")}, 24},    {{0, Address("fe80::1")}, 64},
                           {{1, Address("169.254.1.1")}, 16}, {{1, Address("2001:db8::1")}, 64},
                           {{{}, Address("192.0.2.80")}, 32}, {{7, Address("10.0.7.1")}, 24}};
  const Network network(description, kPorts);
  const auto on = [&](PortId port, net::Family family) {
    const auto addresses = network.AddressesOn(port, family);
    return std::vector<IpAddress>(addresses.begin(), addresses.end());
  };
  using net::Family;
  EXPECT_EQ(on(0, Family::kIpv4),
            (std::vector{Address("10.0.1.5"), Address("10.0.1.9"), Address("10.0.1.1")}));
  EXPECT_TRUE(on(0, Family::kIpv6).empty()) << "a link-local address is nobody's elsewhere";
  EXPECT_TRUE(on(1, Family::kIpv4).empty());
  EXPECT_EQ(on(1, Family::kIpv6), std::vector{Address("2001:db8::1")});
  EXPECT_TRUE(on(7, Family::kIpv4).empty()) << "no such port";
  EXPECT_TRUE(Network().AddressesOn(0, Family::kIpv4).empty());
}

TEST(Network, EveryAddressOfTheBoxIsItsOwn) {
  NetworkDescription description;
  description.addresses = {{{0, Address("10.0.1.1")}, 24},
                           {{1, Address("fe80::1")}, 64},
                           {{{}, Address("192.0.2.80")}, 32}};
  const Network network(description, kPorts);
  for (const char* own : {"10.0.1.1", "fe80::1", "192.0.2.80"})
    EXPECT_TRUE(network.IsBoxAddress(Address(own))) << own;
  for (const char* other : {"10.0.1.2", "::ffff:0:a00:101", "192.0.2.81"})
    EXPECT_FALSE(network.IsBoxAddress(Address(other))) << other;
}

TEST(Network, WhatCannotBeUsedIsLeftOut) {
  NetworkDescription description;
  description.routes[PrefixOf("10.0.0.0/8")] = {};
  description.routes[PrefixOf("10.1.0.0/16")] = {{7, Address("10.1.0.1")}};  // no such port
  description.neighbours[{7, Address("10.1.0.1")}] = Mac(7);
  const Network network(description, kPorts);
  EXPECT_EQ(network.Find(Address("10.0.0.1"), 0).outcome, Network::Outcome::kNoRoute);
  EXPECT_EQ(network.Find(Address("10.1.0.9"), 0).outcome, Network::Outcome::kNoNeighbour);
  EXPECT_EQ(Network().Find(Address("10.0.0.1"), 0).outcome, Network::Outcome::kNoRoute);
}

}  // namespace
}  // namespace steelyard::core
