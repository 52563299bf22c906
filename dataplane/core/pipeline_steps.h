// SPDX-License-Identifier: Apache-2.0
//
// What every way through the pipeline does to a packet that leaves, whatever the mode.
#pragma once

#include "core/network.h"
#include "net/checksum.h"
#include "net/parser.h"
#include "net/wire.h"

namespace steelyard::core {

// False when it ran out. The link layer is the last thing written.
inline bool DecrementTtl(const net::ParsedPacket& parsed, net::Packet& packet) {
  if (parsed.family == net::Family::kIpv6) {
    auto& ip = net::HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
    if (ip.hop_limit <= 1) return false;
    --ip.hop_limit;
    return true;
  }
  auto& ip = net::HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
  if (ip.ttl <= 1) return false;
  const net::Be16 before(static_cast<uint16_t>(ip.ttl << 8 | ip.protocol));
  --ip.ttl;
  const net::Be16 after(static_cast<uint16_t>(ip.ttl << 8 | ip.protocol));
  ip.checksum = net::ChecksumDelta().Replace(before, after).ApplyTo(ip.checksum);
  return true;
}

inline void SetLinkLayer(const NextHop& next_hop, net::Packet& packet) {
  auto& ethernet = net::HeaderAt<net::EthernetHeader>(packet, 0);
  ethernet.destination = next_hop.destination;
  ethernet.source = next_hop.source;
}

// Ethernet padding of short frames does not travel on.
inline void TrimPadding(const net::ParsedPacket& parsed, net::Packet& packet) {
  packet.length = parsed.l3_end;
}

}  // namespace steelyard::core
