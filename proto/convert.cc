// SPDX-License-Identifier: Apache-2.0
#include "proto/convert.h"

namespace steelyard::proto {

using net::Error;
using net::Result;

Result<net::Be16> ToPort(uint32_t port) {
  if (port < 1 || port > 65535)
    return Error{"port " + std::to_string(port) + " is not within 1 to 65535"};
  return net::Be16(static_cast<uint16_t>(port));
}

Result<net::L4Protocol> ToL4Protocol(v1::Protocol protocol) {
  switch (protocol) {
    case v1::PROTOCOL_TCP:
      return net::L4Protocol::kTcp;
    case v1::PROTOCOL_UDP:
      return net::L4Protocol::kUdp;
    default:
      return Error{"protocol must be tcp or udp"};
  }
}

Result<net::L4Protocol> ToL4Protocol(v1::Protocol protocol, net::Family family) {
  switch (protocol) {
    case v1::PROTOCOL_ICMP:
      return family == net::Family::kIpv4 ? net::L4Protocol::kIcmp : net::L4Protocol::kIcmpv6;
    case v1::PROTOCOL_TCP:
    case v1::PROTOCOL_UDP:
      return ToL4Protocol(protocol);
    default:
      return Error{"protocol must be icmp, tcp or udp"};
  }
}

Result<net::Endpoint> ToEndpoint(const std::string& address, uint32_t port) {
  const Result<net::IpAddress> parsed_address = net::ParseIpAddress(address);
  if (!parsed_address) return parsed_address.error();
  const Result<net::Be16> parsed_port = ToPort(port);
  if (!parsed_port) return parsed_port.error();
  return net::Endpoint{*parsed_address, *parsed_port};
}

v1::Protocol FromL4Protocol(net::L4Protocol protocol) {
  switch (protocol) {
    case net::L4Protocol::kTcp:
      return v1::PROTOCOL_TCP;
    case net::L4Protocol::kUdp:
      return v1::PROTOCOL_UDP;
    case net::L4Protocol::kIcmp:
    case net::L4Protocol::kIcmpv6:
      return v1::PROTOCOL_ICMP;
  }
  return v1::PROTOCOL_UNSPECIFIED;
}

void FromEndpoint(const net::Endpoint& endpoint, v1::Endpoint& out) {
  out.set_address(net::ToString(endpoint.address));
  out.set_port(endpoint.port.value());
}

}  // namespace steelyard::proto
