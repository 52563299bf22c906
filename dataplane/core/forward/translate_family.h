// SPDX-License-Identifier: Apache-2.0
//
// From one address family to the other, as RFC 7915 has it: the IP header of a packet (sections 4.1
// and 5.1), and an ICMP error whole, with the header of the packet that it quotes (sections 4.2 and
// 5.2). What else a NAT does to a packet is done afterwards, as if it had come in its new family.
//
// IPv4 options and IPv6 extension headers go away; the parser lets none through that route. IPv4
// packets of up to 1260 bytes may be fragmented, larger ones may not: an IPv6 sender that is told
// of a smaller MTU still sends 1280. Fragment headers are for the fragmenter, who comes last.
//
// Functions of the packet path: pure, any thread.
#pragma once

#include <cstdint>

#include "net/packet.h"
#include "net/parser.h"
#include "net/verdict.h"

namespace steelyard::core {

// What the fixed headers differ by.
inline constexpr int kFamilyHeaderBytes = sizeof(net::Ipv6Header) - sizeof(net::Ipv4Header);

// Bytes that ChangeFamily adds to the packet; fewer than none from IPv6 to IPv4.
int FamilyChangeBytes(const net::ParsedPacket& parsed);

// Gives the TCP or UDP packet an IP header of the addresses' family in place of its own, and its
// frame that Ethernet type; MAC addresses stay. `parsed` is that of the new packet. The caller has
// made sure of the headroom. Checksums of layer 4 stay those of the old addresses, but that a UDP
// datagram gets the one that its sender left out: IPv6 wants it. `identification`: of IPv4.
void ChangeFamily(const net::IpAddress& source, const net::IpAddress& destination,
                  uint16_t identification, net::ParsedPacket& parsed, net::Packet& packet);

// What an ICMP error may say in its new family.
struct IcmpErrorLimits {
  // The box adds so many bytes to packets of its receiver's, the change of family among them.
  int added_bytes = 0;
  uint16_t next_hop_mtu = UINT16_MAX;  // of the error's own way
};

// The same for an ICMP error about a packet of ours: its own addresses and the quoted ones are zero
// afterwards and its checksum is wrong; the quote is what fits into the least that hosts take (576
// bytes, 1280 of IPv6), without what RFC 4884 lets routers append. kForwarded, or, with nothing
// touched, kIcmpUntranslatable where the other family has no such error, and kPacketTooBig where
// there is no headroom for it.
net::Verdict ChangeIcmpErrorFamily(const IcmpErrorLimits& limits, uint16_t identification,
                                   net::ParsedPacket& parsed, net::Packet& packet);

}  // namespace steelyard::core
