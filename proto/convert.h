// SPDX-License-Identifier: Apache-2.0
//
// The only converters between protobuf messages and net types. Errors are sentences without a path:
// the caller knows which field it read.
#pragma once

#include "dataplane.pb.h"
#include "model.pb.h"
#include "net/address.h"
#include "net/result.h"

namespace steelyard::proto {

net::Result<net::Be16> ToPort(uint32_t port);                      // 1 to 65535
net::Result<net::L4Protocol> ToL4Protocol(v1::Protocol protocol);  // TCP or UDP
// ICMP too, which is another protocol in each family.
net::Result<net::L4Protocol> ToL4Protocol(v1::Protocol protocol, net::Family family);
net::Result<net::Endpoint> ToEndpoint(const std::string& address, uint32_t port);
inline net::Result<net::Endpoint> ToEndpoint(const v1::Endpoint& endpoint) {
  return ToEndpoint(endpoint.address(), endpoint.port());
}

v1::Protocol FromL4Protocol(net::L4Protocol protocol);
void FromEndpoint(const net::Endpoint& endpoint, v1::Endpoint& out);

}  // namespace steelyard::proto
