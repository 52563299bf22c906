// SPDX-License-Identifier: Apache-2.0
#include "controlplane/reconcile/synced_network.h"

#include <gtest/gtest.h>

#include <random>

namespace steelyard::controlplane {
namespace {

// Any of a few routes, neighbours and addresses, each in one of two versions.
WantedNetwork SomeNetwork(std::mt19937& random) {
  WantedNetwork network;
  for (uint32_t i = 0; i < 4; ++i) {
    const std::string address = "10.0.0." + std::to_string(i);
    if (random() % 2) {
      v1::Route& route = network.routes[address + "/32"];
      route.set_prefix(address + "/32");
      route.set_mtu(static_cast<uint32_t>(random() % 2));
    }
    if (random() % 2) {
      v1::Neighbour& neighbour = network.neighbours["1 " + address];
      neighbour.set_port_id(1);
      neighbour.set_address(address);
      neighbour.set_mac(random() % 2 ? "02:00:00:00:00:01" : "02:00:00:00:00:02");
    }
    if (random() % 2) {
      v1::BoxAddress& own = network.addresses[address];
      own.set_address(address);
      if (i % 2) own.set_port_id(i);
      own.set_prefix_length(static_cast<uint32_t>(24 + random() % 2));
    }
  }
  return network;
}

template <typename Message>
std::set<std::string> Contents(const std::map<std::string, Message>& messages) {
  std::set<std::string> contents;
  for (const auto& [key, message] : messages) contents.insert(message.ShortDebugString());
  return contents;
}

// Does what requests say, knowing elements by what the schema says that they are known by.
struct Receiver {
  std::map<std::string, v1::Route> routes;
  std::map<std::string, v1::Neighbour> neighbours;
  std::map<std::string, v1::BoxAddress> addresses;

  static std::string Key(const v1::Neighbour& neighbour) {
    return std::to_string(neighbour.port_id()) + neighbour.address();
  }
  static std::string Key(const v1::BoxAddress& own) {
    return (own.has_port_id() ? std::to_string(own.port_id()) : "-") + own.address();
  }
  void Do(const v1::ApplyNetworkRequest& request) {
    if (request.replace()) *this = {};
    for (const auto& prefix : request.removed_routes()) EXPECT_EQ(routes.erase(prefix), 1u);
    for (const auto& gone : request.removed_neighbours())
      EXPECT_EQ(neighbours.erase(Key(gone)), 1u);
    for (const auto& gone : request.removed_addresses()) EXPECT_EQ(addresses.erase(Key(gone)), 1u);
    for (const auto& route : request.routes()) routes[route.prefix()] = route;
    for (const auto& neighbour : request.neighbours()) neighbours[Key(neighbour)] = neighbour;
    for (const auto& own : request.addresses()) addresses[Key(own)] = own;
  }
};

TEST(SyncedNetwork, ReceiverHasTheWantedNetworkAfterEachPush) {
  std::mt19937 random(1);
  SyncedNetwork synced;
  Receiver receiver;
  for (int round = 0; round < 500; ++round) {
    const WantedNetwork wanted = SomeNetwork(random);
    synced.Want(wanted);
    if (random() % 8 == 0) synced.Forget();
    if (auto request = synced.Take()) {
      EXPECT_TRUE(synced.in_flight());
      if (random() % 8 == 0) {  // it never arrived
        synced.Abandon();
        continue;
      }
      receiver.Do(*request);
      synced.Acknowledge();
    }
    EXPECT_FALSE(synced.in_flight());
    EXPECT_EQ(Contents(receiver.routes), Contents(wanted.routes));
    EXPECT_EQ(Contents(receiver.neighbours), Contents(wanted.neighbours));
    EXPECT_EQ(Contents(receiver.addresses), Contents(wanted.addresses));
    EXPECT_EQ(synced.applied_fingerprint(), synced.wanted_fingerprint());
    EXPECT_FALSE(synced.Take().has_value());
  }
}

TEST(SyncedNetwork, FingerprintTellsOneKindFromAnother) {
  std::mt19937 random(2);
  const WantedNetwork whole = SomeNetwork(random);
  const auto fingerprint = [](const WantedNetwork& network) {
    SyncedNetwork synced;
    synced.Want(network);
    return synced.wanted_fingerprint();
  };
  for (const auto lose : {+[](WantedNetwork& network) { network.routes.clear(); },
                          +[](WantedNetwork& network) { network.neighbours.clear(); },
                          +[](WantedNetwork& network) { network.addresses.clear(); }}) {
    WantedNetwork less = whole;
    lose(less);
    EXPECT_NE(fingerprint(less), fingerprint(whole));
  }
}

}  // namespace
}  // namespace steelyard::controlplane
