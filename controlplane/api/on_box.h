// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <set>
#include <utility>

#include "controlplane/config/validate.h"
#include "controlplane/netlink/kernel_network.h"

namespace steelyard::controlplane {

// For validation: the addresses and networks that the box has at this moment.
inline OnBox MakeOnBox(const KernelNetwork& network) {
  std::set<net::IpAddress> addresses;
  std::set<net::Prefix> networks;
  for (const KernelAddress& own : network.addresses) {
    addresses.insert(own.address);
    networks.insert(net::NetworkOf(own.address, own.prefix_length));
  }
  return {[addresses = std::move(addresses)](const net::IpAddress& address) {
            return addresses.contains(address);
          },
          [networks = std::move(networks)](const net::IpAddress& address) {
            return std::any_of(networks.begin(), networks.end(), [&](const net::Prefix& connected) {
              return connected.Contains(address);
            });
          }};
}

}  // namespace steelyard::controlplane
