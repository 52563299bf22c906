// SPDX-License-Identifier: Apache-2.0
//
// Wrapping an IP packet whole in another: IP in IP in all four pairs of families (RFC 2003, RFC
// 4213, RFC 2473) and Generic UDP Encapsulation (draft-ietf-intarea-gue-09, version 0 without
// extensions). DSCP and ECN are copied (RFC 2983 section 3.1, RFC 6040 section 4.1, normal mode).
#pragma once

#include <cstdint>

#include "net/packet.h"
#include "net/parser.h"

namespace steelyard::core {

template <typename Address>
struct OuterHeaders {
  Address source;
  Address destination;
  net::Be16 source_port;
  net::Be16 destination_port;  // 0: IP in IP; else GUE to that UDP port
  uint8_t ttl = 64;
  uint32_t flow_label = 0;      // 20 bits; IPv6
  uint16_t identification = 0;  // IPv4, where the packet may be fragmented
};

constexpr uint16_t EncapsulationBytes(net::Family outer_family, bool gue) {
  constexpr uint16_t kGueBytes = 4;
  return static_cast<uint16_t>(
      (outer_family == net::Family::kIpv4 ? sizeof(net::Ipv4Header) : sizeof(net::Ipv6Header)) +
      (gue ? sizeof(net::UdpHeader) + kGueBytes : 0));
}

// Grows the packet to the front; the caller has made sure of the headroom. Offsets of `parsed` are
// of no use afterwards. Don't-fragment is as in the packet, and set for IPv6, whose sender learns
// what is too big.
void Encapsulate(const OuterHeaders<net::Ipv4Address>& outer, const net::ParsedPacket& parsed,
                 net::Packet& packet);
void Encapsulate(const OuterHeaders<net::Ipv6Address>& outer, const net::ParsedPacket& parsed,
                 net::Packet& packet);

}  // namespace steelyard::core
