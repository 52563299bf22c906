// SPDX-License-Identifier: Apache-2.0
//
// Changes that a NAT between two TCP connections makes to a segment beside addresses and ports.
// Each returns its difference under the TCP checksum. All rely on the parser having walked the
// options.
#pragma once

#include <cstdint>

#include "net/checksum.h"
#include "net/parser.h"

namespace steelyard::core {

// RFC 9293 section 3.7.1: segments may not be larger than what both links carry.
net::ChecksumDelta ClampMss(uint16_t max_segment_bytes, const net::ParsedPacket& parsed,
                            net::Packet& packet);

// The sender's sequence number and timestamp clock, shifted.
net::ChecksumDelta ShiftSequence(uint32_t sequence_delta, uint32_t timestamp_delta,
                                 const net::ParsedPacket& parsed, net::Packet& packet);

// What the other side echoes of them (acknowledgment, SACK blocks (RFC 2018), TSecr), shifted back.
net::ChecksumDelta ShiftAcknowledgment(uint32_t sequence_delta, uint32_t timestamp_delta,
                                       const net::ParsedPacket& parsed, net::Packet& packet);

// Takes the `hidden` sequence numbers before `first` away from what the other side echoes: one among
// them becomes `first`, one before them goes up by as many.
uint32_t WithoutHidden(uint32_t sequence, uint32_t first, uint32_t hidden);
// The same for a segment's acknowledgment and SACK blocks. A block of nothing but hidden numbers
// becomes padding.
net::ChecksumDelta HideSequenceNumbers(uint32_t first, uint32_t hidden,
                                       const net::ParsedPacket& parsed, net::Packet& packet);

// Turns every option of that kind into padding of the same length.
net::ChecksumDelta BlankTcpOptions(uint8_t kind, const net::ParsedPacket& parsed,
                                   net::Packet& packet);

// For a mode that changes nothing else under the checksum.
inline void ApplyToTcpChecksum(net::ChecksumDelta changes, const net::ParsedPacket& parsed,
                               net::Packet& packet) {
  if (changes.folded() == 0) return;
  auto& tcp = net::HeaderAt<net::TcpHeader>(packet, parsed.l4_offset);
  tcp.checksum = changes.ApplyTo(tcp.checksum);
}

}  // namespace steelyard::core
