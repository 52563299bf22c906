// SPDX-License-Identifier: Apache-2.0
//
// ICMP errors of the box itself, to the senders of packets that it cannot forward: "fragmentation
// needed" (RFC 792, with the MTU of RFC 1191) and "packet too big" (RFC 4443 section 3.2), "time
// exceeded" (RFC 792, RFC 4443 section 3.3). The refused packet becomes the error in place: headers
// grow in front of it and it is the quote, so it must still be as it arrived.
//
// Pure; on the worker's thread.
#pragma once

#include <cstdint>

#include "core/burst.h"
#include "core/forward/forwarding_mode.h"
#include "net/parser.h"

namespace steelyard::core {

// Why a packet goes no further, as its sender is told.
struct Refusal {
  net::Verdict verdict;  // kPacketTooBig or kTtlExceeded
  uint16_t mtu = 0;      // kPacketTooBig: what the sender must keep to
};

// `next_hop_mtu` less what the box adds to the sender's packets, but no less than what every link
// of the family carries (RFC 791, RFC 8200 section 5; RFC 8021 says why).
uint16_t MtuForSender(net::Family family, uint16_t next_hop_mtu, int added_bytes);

// Answers the sender of packet `i` of the burst: the answer stands in the packet's buffer, and
// `answered` and `out_port` of the burst say so. Or not, and nothing is touched: where the packet
// allows no answer (below), where there is no way to its sender, and beyond the worker's rate. The
// packet is dropped either way; returns the refusal's verdict.
net::Verdict Refuse(const PacketContext& context, const Refusal& refusal,
                    const net::ParsedPacket& parsed, Burst& burst, uint32_t i);

// --- its parts, for tests ------------------------------------------------------------------------

// RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e): not to an ICMP error, a fragment, or anything
// whose source or destination, on the link or beyond, is not one host. Nor to the box itself.
bool MayBeAnswered(const Snapshot& snapshot, const net::ParsedPacket& parsed,
                   const net::Packet& packet);

// The address that the answer's receiver believes: the packet's destination where that is the box's
// (a VIP, a local address), else one of the port that the packet came in by, in the order of
// Network::AddressesOn but VIPs and local addresses last, else the packet's destination.
net::IpAddress AnswerSource(const Snapshot& snapshot, PortId in_port,
                            const net::IpAddress& destination);

// The packet becomes the error, addressed to its sender by way of `next_hop`. It quotes as much as
// fits into 576 bytes (RFC 1812 section 4.3.2.3), or 1280 of IPv6 (RFC 4443 section 2.4 (c)), and
// into the next hop's MTU. False, and untouched: no room in front of the packet.
bool WriteIcmpAnswer(const Refusal& refusal, const net::IpAddress& source, const NextHop& next_hop,
                     const net::ParsedPacket& parsed, net::Packet& packet);

}  // namespace steelyard::core
