// SPDX-License-Identifier: Apache-2.0
#include "controlplane/reconcile/wanted_network.h"

#include <algorithm>
#include <functional>

namespace steelyard::controlplane {
namespace {

struct TwinRoute {
  uint32_t metric = 0;
  uint32_t mtu = 0;
  std::vector<KernelNextHop> next_hops;  // through twins only, sorted, at least one
};
using TwinRoutes = std::map<net::Prefix, TwinRoute>;

TwinRoutes SelectRoutes(const KernelNetwork& network, const Twins& twins) {
  TwinRoutes selected;
  // IPv6 addresses have routes of their own; no packet is forwarded to the box.
  std::set<net::IpAddress> own;
  for (const KernelAddress& address : network.addresses) own.insert(address.address);
  for (const KernelRoute& route : network.routes) {
    const bool to_host = route.prefix.length == route.prefix.address.bit_length();
    if (to_host && own.contains(route.prefix.address)) continue;
    TwinRoute candidate{route.metric, route.mtu, {}};
    for (const KernelNextHop& hop : route.next_hops)
      if (twins.contains(hop.interface_index)) candidate.next_hops.push_back(hop);
    if (candidate.next_hops.empty()) continue;
    std::sort(candidate.next_hops.begin(), candidate.next_hops.end());
    const auto [at, inserted] = selected.try_emplace(route.prefix, candidate);
    if (!inserted && candidate.metric < at->second.metric) at->second = candidate;
  }
  return selected;
}

net::IpAddress KeepBits(const net::IpAddress& address, int length) {
  net::Ipv6Address bytes = address.v6();
  const int first = (address.is_v4() ? 96 : 0) + length;
  for (int bit = first; bit < 128; ++bit)
    bytes.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80 >> (bit % 8)));
  if (!address.is_v4()) return bytes;
  uint32_t host = 0;
  for (int i = 12; i < 16; ++i) host = host << 8 | bytes.bytes[i];
  return net::Ipv4Address{net::Be32(host)};
}

// The longest match. Null: no route.
class RouteLookup {
 public:
  explicit RouteLookup(const TwinRoutes& routes) : routes_(routes) {
    for (const auto& [prefix, route] : routes)
      (prefix.address.is_v4() ? v4_lengths_ : v6_lengths_).insert(prefix.length);
  }
  const TwinRoute* Find(const net::IpAddress& destination) const {
    for (const int length : destination.is_v4() ? v4_lengths_ : v6_lengths_) {
      const auto at = routes_.find({KeepBits(destination, length), length});
      if (at != routes_.end()) return &at->second;
    }
    return nullptr;
  }

 private:
  using Lengths = std::set<int, std::greater<>>;
  const TwinRoutes& routes_;
  Lengths v4_lengths_;
  Lengths v6_lengths_;
};

// An address that stands several times on an interface counts with the largest network.
void AddAddresses(const KernelNetwork& network, const Twins& twins, WantedNetwork& wanted) {
  for (const KernelAddress& own : network.addresses) {
    if (!own.address.IsUnicastHost()) continue;
    v1::BoxAddress message;
    message.set_address(net::ToString(own.address));
    message.set_prefix_length(static_cast<uint32_t>(own.prefix_length));
    std::string name = message.address();
    if (const auto twin = twins.find(own.interface_index); twin != twins.end()) {
      message.set_port_id(twin->second);
      name = std::to_string(twin->second) + ' ' + name;
    }
    wanted.addresses.try_emplace(name, message);
  }
}

}  // namespace

Twins FindTwins(const KernelNetwork& network, const PortList& ports) {
  Twins twins;
  for (const v1::Port& port : ports) {
    const KernelLink* link = network.FindLink(port.kernel_interface());
    if (link != nullptr) twins[link->index] = port.id();
  }
  return twins;
}

std::string NeighbourName(const v1::Neighbour& neighbour) {
  return std::to_string(neighbour.port_id()) + ' ' + neighbour.address();
}

WantedNetwork MakeWantedNetwork(const KernelNetwork& network, const Twins& twins) {
  WantedNetwork wanted;
  for (const auto& [prefix, route] : SelectRoutes(network, twins)) {
    v1::Route message;
    message.set_prefix(net::ToString(prefix));
    message.set_mtu(route.mtu);
    for (const KernelNextHop& hop : route.next_hops) {
      v1::Gateway* gateway = message.add_gateways();
      gateway->set_port_id(twins.at(hop.interface_index));
      if (hop.gateway) gateway->set_address(net::ToString(*hop.gateway));
    }
    wanted.routes[message.prefix()] = message;
  }
  for (const auto& [key, neighbour] : network.neighbours) {
    const auto twin = twins.find(key.first);
    if (twin == twins.end() || neighbour.state != NeighbourState::kUsable) continue;
    v1::Neighbour message;
    message.set_port_id(twin->second);
    message.set_address(net::ToString(key.second));
    message.set_mac(net::ToString(neighbour.mac));
    wanted.neighbours[NeighbourName(message)] = message;
  }
  AddAddresses(network, twins, wanted);
  return wanted;
}

std::set<NeighbourKey> FindNextHops(const KernelNetwork& network, const Twins& twins,
                                    const std::vector<net::IpAddress>& destinations) {
  const TwinRoutes routes = SelectRoutes(network, twins);
  std::set<NeighbourKey> next_hops;
  for (const auto& [prefix, route] : routes)
    for (const KernelNextHop& hop : route.next_hops)
      if (hop.gateway) next_hops.insert({hop.interface_index, *hop.gateway});
  const RouteLookup lookup(routes);
  for (const net::IpAddress& destination : destinations) {
    const TwinRoute* route = lookup.Find(destination);
    if (route == nullptr) continue;
    for (const KernelNextHop& hop : route->next_hops)
      next_hops.insert({hop.interface_index, hop.gateway.value_or(destination)});
  }
  // The box itself is nobody's neighbour.
  for (const KernelAddress& own : network.addresses)
    next_hops.erase({own.interface_index, own.address});
  return next_hops;
}

}  // namespace steelyard::controlplane
