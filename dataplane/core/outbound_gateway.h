// SPDX-License-Identifier: Apache-2.0
//
// Outbound gateways: which flows of hosts behind the box leave it by source NAT. A gateway's
// sessions, counters and timeouts are those of a core::Service of mode snat, which has no address
// and one backend that stands for the world outside. Part of a snapshot: immutable, any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/service.h"
#include "net/flow_key.h"

namespace steelyard::core {

struct OutboundGateway {
  std::vector<net::Prefix> inside_prefixes;
  std::vector<net::Prefix> destinations;  // none: any
  bool takes_tcp = false;
  bool takes_udp = false;
  bool takes_icmp = false;  // echo
  // Its local_addresses are the outside addresses.
  std::shared_ptr<const Service> service;

  bool IsInside(const net::IpAddress& address) const;
  // By source and protocol alone.
  bool TakesFrom(const net::IpAddress& source, net::L4Protocol protocol) const;
  // Flows between two inside hosts are not the gateway's: both know the way.
  bool TakesTo(const net::IpAddress& destination) const;
};

using OutboundGateways = std::vector<OutboundGateway>;

}  // namespace steelyard::core
