// SPDX-License-Identifier: Apache-2.0
#include "core/network.h"

#include <algorithm>

namespace steelyard::core {

Network::Network(const NetworkDescription& description, const std::vector<PortInfo>& ports) {
  AddRoutes(description);
  AddNextHops(description, ports);
  AddAddresses(description, ports.size());
}

void Network::AddRoutes(const NetworkDescription& description) {
  for (const auto& [prefix, gateways] : description.routes) {
    auto& by_length = prefix.address.is_v4() ? v4_ : v6_;
    auto at =
        std::find_if(by_length.begin(), by_length.end(),
                     [length = prefix.length](const auto& entry) { return entry.first == length; });
    if (at == by_length.end()) at = by_length.insert(by_length.end(), {prefix.length, {}});
    at->second.emplace(prefix.address, gateways);
  }
  for (auto* by_length : {&v4_, &v6_})
    std::sort(by_length->begin(), by_length->end(),
              [](const auto& a, const auto& b) { return a.first > b.first; });
}

void Network::AddNextHops(const NetworkDescription& description,
                          const std::vector<PortInfo>& ports) {
  for (const auto& [neighbour, mac] : description.neighbours) {
    if (neighbour.port >= ports.size() || next_hops_.size() == kMaxNextHops) continue;
    const PortInfo& port = ports[neighbour.port];
    neighbours_.emplace(neighbour, static_cast<uint16_t>(next_hops_.size()));
    next_hops_.push_back({neighbour.port, port.mtu, mac, port.mac});
  }
  for (const auto& [prefix, gateways] : description.routes)
    for (const Gateway& gateway : gateways)
      if (gateway.mtu != 0) AddNarrowNextHops(prefix, gateway);
}

// On a link any of its neighbours may be the next hop.
void Network::AddNarrowNextHops(const net::Prefix& prefix, const Gateway& gateway) {
  if (gateway.address) {
    const auto at = neighbours_.find({gateway.port, *gateway.address});
    if (at != neighbours_.end()) AddNarrowNextHop(at->second, gateway.mtu);
    return;
  }
  for (const auto& [neighbour, next_hop] : neighbours_)
    if (neighbour.port == gateway.port && prefix.Contains(neighbour.address))
      AddNarrowNextHop(next_hop, gateway.mtu);
}

void Network::AddNarrowNextHop(uint16_t index, uint16_t mtu) {
  NextHop next_hop = next_hops_[index];
  if (mtu >= next_hop.mtu || next_hops_.size() == kMaxNextHops) return;
  const auto narrow = static_cast<uint16_t>(next_hops_.size());
  if (!narrow_next_hops_.emplace(std::pair(index, mtu), narrow).second) return;
  next_hop.mtu = mtu;
  next_hops_.push_back(next_hop);
}

void Network::AddAddresses(const NetworkDescription& description, size_t port_count) {
  addresses_.resize(port_count);
  for (const bool of_full_length : {false, true})
    for (const auto& [entry, prefix_length] : description.addresses) {
      const auto& [port, address] = entry;
      box_addresses_.insert(address);
      if (!port || *port >= port_count || address.IsLinkLocal() ||
          (prefix_length == address.bit_length()) != of_full_length)
        continue;
      addresses_[*port][address.is_v4() ? 0 : 1].push_back(address);
    }
}

std::span<const net::IpAddress> Network::AddressesOn(PortId port, net::Family family) const {
  if (port >= addresses_.size()) return {};
  return addresses_[port][family == net::Family::kIpv4 ? 0 : 1];
}

const std::vector<Gateway>* Network::LongestMatch(const net::IpAddress& destination) const {
  for (const auto& [length, routes] : destination.is_v4() ? v4_ : v6_) {
    const auto at = routes.find(net::NetworkOf(destination, length).address);
    if (at != routes.end()) return &at->second;
  }
  return nullptr;
}

Network::Lookup Network::Find(const net::IpAddress& destination, uint32_t flow_hash) const {
  const std::vector<Gateway>* gateways = LongestMatch(destination);
  if (gateways == nullptr || gateways->empty()) return {};
  const Gateway& gateway = (*gateways)[flow_hash % gateways->size()];
  const Neighbour neighbour{gateway.port, gateway.address.value_or(destination)};
  const auto known = neighbours_.find(neighbour);
  if (known == neighbours_.end()) return {Outcome::kNoNeighbour, 0, neighbour};
  const auto narrow = narrow_next_hops_.find({known->second, gateway.mtu});
  return {Outcome::kFound, narrow == narrow_next_hops_.end() ? known->second : narrow->second, {}};
}

}  // namespace steelyard::core
