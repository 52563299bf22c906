// SPDX-License-Identifier: Apache-2.0
//
// Network: the kernel's routes, neighbours and addresses as one immutable part of a snapshot, and
// the answer to "out of which port, to which link-layer address". Looked up when a session's cached
// next hop is stale, so it is built for being right and shared, not for every packet. Built on the
// main thread, read by all.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
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
  uint16_t mtu = 0;                     // the port's, or the route's where that is smaller
  net::MacAddress destination, source;  // as they stand on the wire
};

struct Gateway {
  PortId port = 0;
  std::optional<net::IpAddress> address;  // none: the destination is on the link
  uint16_t mtu = 0;                       // of the route; 0: the port's
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

// An address that the kernel has as the box's own.
struct BoxAddress {
  std::optional<PortId> port;  // whose twin has it; none: another interface
  net::IpAddress address;
  friend auto operator<=>(const BoxAddress&, const BoxAddress&) = default;
};

// What a builder collects; the main thread keeps one and alters it.
struct NetworkDescription {
  std::map<net::Prefix, std::vector<Gateway>> routes;
  std::unordered_map<Neighbour, net::MacAddress, NeighbourHash> neighbours;
  std::map<BoxAddress, int> addresses;  // each with its prefix length
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

  // The addresses that the box may speak from on a port, to anybody: no link-local ones. Those with
  // a network come before those of full length, which are more often there for a service.
  std::span<const net::IpAddress> AddressesOn(PortId port, net::Family family) const;
  // Whether a packet to it has arrived when it is at the box. VIPs and local addresses are among
  // them, as far as the kernel has them.
  bool IsBoxAddress(const net::IpAddress& address) const {
    return box_addresses_.contains(address);
  }

 private:
  using RoutesOfLength = std::unordered_map<net::IpAddress, std::vector<Gateway>, net::AddressHash>;
  void AddRoutes(const NetworkDescription& description);
  void AddNextHops(const NetworkDescription& description, const std::vector<PortInfo>& ports);
  void AddNarrowNextHops(const net::Prefix& prefix, const Gateway& gateway);
  void AddNarrowNextHop(uint16_t next_hop, uint16_t mtu);
  void AddAddresses(const NetworkDescription& description, size_t port_count);
  const std::vector<Gateway>* LongestMatch(const net::IpAddress& destination) const;

  // Longest first, only lengths that occur.
  std::vector<std::pair<int, RoutesOfLength>> v4_, v6_;
  std::unordered_map<Neighbour, uint16_t, NeighbourHash> neighbours_;  // index into next_hops_
  std::vector<NextHop> next_hops_;
  // The same next hop with the MTU of a route, where that is smaller than the port's.
  std::map<std::pair<uint16_t, uint16_t>, uint16_t> narrow_next_hops_;
  std::vector<std::array<std::vector<net::IpAddress>, 2>> addresses_;  // by port; IPv4, IPv6
  std::unordered_set<net::IpAddress, net::AddressHash> box_addresses_;
};

}  // namespace steelyard::core
