// SPDX-License-Identifier: Apache-2.0
//
// What the dataplane should know of the kernel's network: routes and neighbours of the twins and
// the box's own addresses, in the dataplane's words. Pure, any thread.
//
// A prefix with several routes keeps the one of the lowest metric among those that leave through a
// twin; of its paths, those that do. A route through other interfaces is nothing that the dataplane
// could follow. Addresses are those of all interfaces, but for loopback ones: a packet to any of
// them has arrived.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controlplane/netlink/kernel_network.h"
#include "dataplane.pb.h"

namespace steelyard::controlplane {

using Twins = std::map<int, uint32_t>;  // port ids by the kernel's interface index

struct WantedNetwork {
  std::map<std::string, v1::Route> routes;          // by prefix
  std::map<std::string, v1::Neighbour> neighbours;  // by NeighbourName()
  std::map<std::string, v1::BoxAddress> addresses;  // by port, if any, and address
};

using PortList = google::protobuf::RepeatedPtrField<v1::Port>;

// Ports whose twin the kernel does not have are left out.
Twins FindTwins(const KernelNetwork& network, const PortList& ports);
std::string NeighbourName(const v1::Neighbour& neighbour);
WantedNetwork MakeWantedNetwork(const KernelNetwork& network, const Twins& twins);

// The neighbours that packets to these destinations need, and every gateway.
std::set<NeighbourKey> FindNextHops(const KernelNetwork& network, const Twins& twins,
                                    const std::vector<net::IpAddress>& destinations);

}  // namespace steelyard::controlplane
