// SPDX-License-Identifier: Apache-2.0
//
// What every NAT mode does to a packet: addresses and ports become the flow's rewrite, and the
// checksums follow by difference (RFC 1624), so that a corruption on the way in stays visible on
// the way out.
#pragma once

#include "core/session_table.h"
#include "net/checksum.h"
#include "net/parser.h"

namespace steelyard::core {

// `l4_changes`: what else was changed under the TCP or UDP checksum (not addresses or ports).
void TranslatePacket(const SessionTable& sessions, FlowRef flow, const net::ParsedPacket& parsed,
                     net::Packet& packet, net::ChecksumDelta l4_changes);

// Adds `bytes` (a multiple of four) of TCP option behind the fixed TCP header by moving everything
// before it to the front; offsets of `parsed` follow. The caller has made sure of headroom and of
// the 60 bytes of a TCP header. Length fields are updated, with the IPv4 header checksum; the
// change under the TCP checksum is returned.
net::ChecksumDelta InsertTcpOption(const uint8_t* option, uint8_t bytes, net::ParsedPacket& parsed,
                                   net::Packet& packet);

// Adds bytes before the payload of a TCP segment or UDP datagram in the same way; the payload then
// begins with them. The caller has made sure of headroom. UDP's own length follows.
net::ChecksumDelta InsertPayload(const uint8_t* bytes, uint8_t length, net::ParsedPacket& parsed,
                                 net::Packet& packet);

// Cuts a TCP segment's payload off. The frame has no padding behind it.
net::ChecksumDelta CutPayload(net::ParsedPacket& parsed, net::Packet& packet);

}  // namespace steelyard::core
