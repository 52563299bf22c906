// SPDX-License-Identifier: Apache-2.0
//
// ICMP errors about packets of our sessions (RFC 5508 section 4, RFC 4443): the packet that is
// quoted is one that the box sent, so whoever gets the error must find its own packet quoted
// instead.
#pragma once

#include "core/session_table.h"
#include "net/parser.h"

namespace steelyard::core {

// The key of the flow that the error travels with: the reverse of what is quoted.
inline net::FlowKey KeyOfIcmpError(const net::ParsedPacket& parsed) {
  return parsed.key().Reversed();
}

// The MTU that an error tells (RFC 1191, RFC 4443 section 3.2). 0: it tells none.
uint16_t MtuTold(const net::ParsedPacket& parsed, const net::Packet& packet);

// Whether the ICMP checksum is right.
bool VerifyIcmpChecksum(const net::ParsedPacket& parsed, const net::Packet& packet);

// Rewrites the error's own addresses as a reply of that flow would have them (its source stays
// where the flow's does: a router's address is of use to whoever gets it), and the quoted packet
// back to what its sender sent: addresses, ports, sequence numbers, timestamps, SACK blocks and
// checksums as far as they are quoted (an option or PROXY header that the box added stays). An MTU
// in it shrinks by `added_bytes`, what the box adds to packets of that sender. Where the flow
// changes family the error has changed already (core/forward/translate_family.h), and its MTU is
// right.
void TranslateIcmpError(const SessionTable& sessions, FlowRef flow, int added_bytes,
                        const net::ParsedPacket& parsed, net::Packet& packet);

}  // namespace steelyard::core
