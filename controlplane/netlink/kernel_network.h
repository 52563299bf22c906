// SPDX-License-Identifier: Apache-2.0
//
// What the kernel of this network namespace knows, as far as forwarding needs it: plain values,
// nothing of netlink in them.
//
// Routes are those of the main table, unicast, type of service 0, in the order in which the kernel
// lists them. Link-local prefixes are left out: nothing is forwarded to them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "net/address.h"

namespace steelyard::controlplane {

struct KernelLink {
  int index = 0;
  std::string name;
  bool up = false;
  net::MacAddress mac;
  friend bool operator==(const KernelLink&, const KernelLink&) = default;
};

struct KernelAddress {
  int interface_index = 0;
  net::IpAddress address;
  int prefix_length = 0;
  friend auto operator<=>(const KernelAddress&, const KernelAddress&) = default;
};

struct KernelNextHop {
  int interface_index = 0;
  std::optional<net::IpAddress> gateway;  // none: the destination is on the link
  friend auto operator<=>(const KernelNextHop&, const KernelNextHop&) = default;
};

struct KernelRoute {
  net::Prefix prefix;
  uint32_t metric = 0;  // lower is better
  uint32_t mtu = 0;     // for packets on it; 0: the interface's
  std::vector<KernelNextHop> next_hops;
  friend bool operator==(const KernelRoute&, const KernelRoute&) = default;
};

// Usable: the kernel itself would send to this MAC (reachable, permanent, stale, delay, probe).
// Failed: it has asked and nobody answered. Neither: it is asking.
enum class NeighbourState : uint8_t { kAsking, kUsable, kFailed };

struct KernelNeighbour {
  net::MacAddress mac;
  NeighbourState state = NeighbourState::kAsking;
  bool is_permanent = false;  // somebody has set it, and the kernel never asks
  friend bool operator==(const KernelNeighbour&, const KernelNeighbour&) = default;
};

using NeighbourKey = std::pair<int, net::IpAddress>;  // interface index, address

struct KernelNetwork {
  std::map<int, KernelLink> links;  // by index
  std::set<KernelAddress> addresses;
  std::vector<KernelRoute> routes;
  std::map<NeighbourKey, KernelNeighbour> neighbours;

  const KernelLink* FindLink(const std::string& name) const {
    for (const auto& [index, link] : links)
      if (link.name == name) return &link;
    return nullptr;
  }
};

}  // namespace steelyard::controlplane
