// SPDX-License-Identifier: Apache-2.0
#include "core/network.h"

#include <algorithm>

namespace steelyard::core {

Network::Network(const NetworkDescription& description, const std::vector<PortInfo>& ports) {
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

  for (const auto& [neighbour, mac] : description.neighbours) {
    if (neighbour.port >= ports.size() || next_hops_.size() == kMaxNextHops) continue;
    const PortInfo& port = ports[neighbour.port];
    neighbours_.emplace(neighbour, static_cast<uint16_t>(next_hops_.size()));
    next_hops_.push_back({neighbour.port, port.mtu, port.mac, mac});
  }
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
  return {Outcome::kFound, known->second, {}};
}

}  // namespace steelyard::core
