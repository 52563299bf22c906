// SPDX-License-Identifier: Apache-2.0
//
// Home: which worker is the owner of a flow's session. As a rule it is the one that the flow's own
// hash leads to, so that a NIC brings the client's packets there by itself; the reverse flow is
// made to lead there too by the choice of its port (core/forward/local_port.h). Where that is not
// enough, the home follows from configuration and packet alone:
//
//   - replies of a DNAT's backends carry no port of ours: their home is that of the client's flow
//     to the service, which backend address, port and protocol tell;
//   - a service that remembers its clients (persistence) has all flows of a client at one worker;
//     so have DNAT services that share a backend, whose replies do not tell whose they are;
//   - an inside endpoint has one mapping at an outbound gateway with endpoint-independent UDP, so
//     all its flows are where the mapping is.
//
// A worker looks into its own table first and asks here on a miss only: whatever a session was
// opened under, its packets go where the hash leads while that finds it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/service.h"
#include "net/flow_key.h"

namespace steelyard::core {

struct Snapshot;

struct ServiceKey {
  net::Endpoint address;
  net::L4Protocol protocol{};
  friend bool operator==(const ServiceKey&, const ServiceKey&) = default;
};

struct ServiceKeyHash {
  size_t operator()(const ServiceKey& key) const {
    return net::AddressHash{}(key.address) + static_cast<size_t>(key.protocol);
  }
};

// Whoever it may be, in keys: no host has the unspecified address.
net::Endpoint Anybody(net::Family family);

// All flows of a client, a prefix of that length, have one home.
struct HomeByClient {
  bool enabled = false;
  uint8_t ipv4_prefix_length = 32;
  uint8_t ipv6_prefix_length = 128;

  // So that what had one home by either has one by this.
  void WidenTo(const HomeByClient& other);
};

struct HomeRules {
  struct Replies {
    net::Endpoint service;  // any of those that have the backend
    HomeByClient by_client;
    BackendSlot backend;
  };
  std::vector<HomeByClient> services;                               // by slot
  std::unordered_map<ServiceKey, Replies, ServiceKeyHash> replies;  // by the backend's endpoint
  bool has_endpoint_independent_udp = false;
};

// The rules for these services. `before` are those that were in force until now: what they say of
// backends that are gone holds on while `is_referenced` (sessions may still get replies), and
// clients that had one home keep it. Main thread.
HomeRules MakeHomeRules(std::span<const Service* const> services, const HomeRules& before,
                        const std::function<bool(BackendSlot)>& is_referenced);

// The flow whose bucket is the home of `flow`'s session. `service` is the one that the flow goes
// to; null: none. Any thread that has the snapshot pinned.
net::FlowKey HomeKeyOf(const Snapshot& snapshot, const Service* service, const net::FlowKey& flow);
uint32_t HomeBucketOf(const Snapshot& snapshot, const Service* service, const net::FlowKey& flow);
uint32_t HomeBucketOf(const Snapshot& snapshot, const net::FlowKey& flow);

}  // namespace steelyard::core
