// SPDX-License-Identifier: Apache-2.0
//
// The five numbers that name a flow as they stand in a packet, one struct a family, without padding that
// a comparison would trip over.
#pragma once

#include <cstdint>

#include "net/address.h"

namespace steelyard::net {

struct FlowKey4 {
  Ipv4Address source;
  Ipv4Address destination;
  Be16 source_port;
  Be16 destination_port;
  L4Protocol protocol{};

  FlowKey4 Reversed() const { return {destination, source, destination_port, source_port, protocol}; }
  friend bool operator==(const FlowKey4&, const FlowKey4&) = default;
};
static_assert(sizeof(FlowKey4) == 13);

struct FlowKey6 {
  Ipv6Address source;
  Ipv6Address destination;
  Be16 source_port;
  Be16 destination_port;
  L4Protocol protocol{};

  FlowKey6 Reversed() const { return {destination, source, destination_port, source_port, protocol}; }
  friend bool operator==(const FlowKey6&, const FlowKey6&) = default;
};
static_assert(sizeof(FlowKey6) == 37);

// Either family, for everything that is not done per packet.
struct FlowKey {
  Endpoint source;
  Endpoint destination;
  L4Protocol protocol{};

  FlowKey() = default;
  FlowKey(const Endpoint& from, const Endpoint& to, L4Protocol l4)
      : source(from), destination(to), protocol(l4) {}
  explicit FlowKey(const FlowKey4& key)
      : source{key.source, key.source_port},
        destination{key.destination, key.destination_port},
        protocol(key.protocol) {}
  explicit FlowKey(const FlowKey6& key)
      : source{key.source, key.source_port},
        destination{key.destination, key.destination_port},
        protocol(key.protocol) {}

  bool is_v4() const { return source.address.is_v4(); }
  FlowKey4 v4() const {
    return {source.address.v4(), destination.address.v4(), source.port, destination.port, protocol};
  }
  FlowKey6 v6() const {
    return {source.address.v6(), destination.address.v6(), source.port, destination.port, protocol};
  }
  FlowKey Reversed() const { return {destination, source, protocol}; }
  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

}  // namespace steelyard::net
