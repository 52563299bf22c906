// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <utility>

#include "controlplane/config/validate.h"
#include "controlplane/netlink/kernel_network.h"

namespace steelyard::controlplane {

// For validation: the addresses that the box has at this moment.
inline OnBox MakeOnBox(const KernelNetwork& network) {
  std::set<net::IpAddress> addresses;
  for (const KernelAddress& own : network.addresses) addresses.insert(own.address);
  return [addresses = std::move(addresses)](const net::IpAddress& address) {
    return addresses.contains(address);
  };
}

}  // namespace steelyard::controlplane
