// SPDX-License-Identifier: Apache-2.0
//
// Network: the kernel's routes and neighbours as one immutable part of a snapshot, and the answer
// to "out of which port, to which link-layer address". Looked up when a session's cached next hop
// is stale, so it is built for being right and shared, not for every packet. Built on the main
// thread, read by all.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/burst.h"
#include "net/address.h"

namespace steelyard::core {

struct PortInfo {
  net::MacAddress mac;
  uint16_t mtu = 1500;
};

struct NextHop {
  PortId port = 0;
  uint16_t mtu = 0;  // the port's
  net::MacAddress source;
  net::MacAddress destination;
};

struct Gateway {
  PortId port = 0;
  std::optional<net::IpAddress> address;  // none: the destination is on the link
};

struct Neighbour {
  PortId port = 0;
  net::IpAddress address;
  friend bool operator==(const Neighbour&, const Neighbour&) = default;
};

struct NeighbourHash {
  size_t operator()(const Neighbour& neighbour) const {
    return net::AddressHash{}(neighbour.address) + neighbour.port;
  }
};

// What a builder collects; the main thread keeps one and alters it.
struct NetworkDescription {
  std::map<net::Prefix, std::vector<Gateway>> routes;
  std::unordered_map<Neighbour, net::MacAddress, NeighbourHash> neighbours;
};

class Network {
 public:
  static constexpr size_t kMaxNextHops = 65535;

  Network() = default;
  Network(const NetworkDescription& description, const std::vector<PortInfo>& ports);

  enum class Outcome { kFound, kNoRoute, kNoNeighbour };
  struct Lookup {
    Outcome outcome = Outcome::kNoRoute;
    uint16_t next_hop = 0;  // kFound
    Neighbour missing;      // kNoNeighbour: whom to resolve
  };
  // `flow_hash` chooses among equal-cost gateways.
  Lookup Find(const net::IpAddress& destination, uint32_t flow_hash) const;

  const NextHop& next_hop(uint16_t index) const { return next_hops_[index]; }

 private:
  using RoutesOfLength = std::unordered_map<net::IpAddress, std::vector<Gateway>, net::AddressHash>;
  const std::vector<Gateway>* LongestMatch(const net::IpAddress& destination) const;

  // Longest first, only lengths that occur.
  std::vector<std::pair<int, RoutesOfLength>> v4_, v6_;
  std::unordered_map<Neighbour, uint16_t, NeighbourHash> neighbours_;  // index into next_hops_
  std::vector<NextHop> next_hops_;
};

}  // namespace steelyard::core
