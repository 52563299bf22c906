// SPDX-License-Identifier: Apache-2.0
#include "core/outbound_gateway.h"

#include <algorithm>

#include "net/parser.h"

namespace steelyard::core {
namespace {

bool AnyContains(const std::vector<net::Prefix>& prefixes, const net::IpAddress& address) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const net::Prefix& prefix) { return prefix.Contains(address); });
}

}  // namespace

bool OutboundGateway::IsInside(const net::IpAddress& address) const {
  return AnyContains(inside_prefixes, address);
}

bool OutboundGateway::TakesFrom(const net::IpAddress& source, net::L4Protocol protocol) const {
  const bool takes_protocol = protocol == net::L4Protocol::kTcp   ? takes_tcp
                              : protocol == net::L4Protocol::kUdp ? takes_udp
                                                                  : takes_icmp;
  return takes_protocol && IsInside(source);
}

bool OutboundGateway::TakesTo(const net::IpAddress& destination) const {
  return destination.IsUnicastHost() && !IsInside(destination) &&
         (destinations.empty() || AnyContains(destinations, destination));
}

}  // namespace steelyard::core
