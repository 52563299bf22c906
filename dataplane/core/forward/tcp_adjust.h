// SPDX-License-Identifier: Apache-2.0
//
// Changes that a NAT between two TCP connections makes to a segment beside addresses and ports.
// Each returns its difference under the TCP checksum. All rely on the parser having walked the
// options.
#pragma once

#include <cstdint>

#include "core/tcp_state.h"
#include "net/checksum.h"
#include "net/parser.h"

namespace steelyard::core {

// RFC 9293 section 3.7.1: segments may not be larger than what both links carry.
net::ChecksumDelta ClampMss(uint16_t max_segment_bytes, const net::ParsedPacket& parsed,
                            net::Packet& packet);

// A number of 32 bits at that offset of the packet, in the TCP header.
net::ChecksumDelta ShiftAtOddOffset(const net::ParsedPacket& parsed, net::Packet& packet,
                                    size_t offset, uint32_t delta);
inline net::ChecksumDelta Shift32(const net::ParsedPacket& parsed, net::Packet& packet,
                                  size_t offset, uint32_t delta) {
  if ((offset - parsed.l4_offset) % 2 != 0) [[unlikely]]
    return ShiftAtOddOffset(parsed, packet, offset, delta);
  const net::Be32 before = net::HeaderAt<net::Be32>(packet, offset);
  const net::Be32 after(before.value() + delta);
  net::HeaderAt<net::Be32>(packet, offset) = after;
  return net::ChecksumDelta().Replace(before, after);
}

// Forward: the sender's sequence number and timestamp clock, shifted. Reverse: the acknowledgment
// and TSecr, shifted back. By arithmetic, not by a branch: nobody can guess the direction of the
// next packet.
inline net::ChecksumDelta ShiftClock(Direction direction, uint32_t sequence_delta,
                                     uint32_t timestamp_delta, const net::ParsedPacket& parsed,
                                     net::Packet& packet) {
  static_assert(offsetof(net::TcpHeader, acknowledgment) ==
                offsetof(net::TcpHeader, sequence) + sizeof(uint32_t));
  const auto reverse = static_cast<uint32_t>(direction);
  const size_t behind = reverse * sizeof(uint32_t);
  const uint32_t sign = 0 - reverse;  // (n ^ sign) - sign is n or -n
  net::ChecksumDelta changes =
      Shift32(parsed, packet, parsed.l4_offset + offsetof(net::TcpHeader, sequence) + behind,
              (sequence_delta ^ sign) - sign);
  if (parsed.timestamps_offset != 0)
    changes.Add(Shift32(parsed, packet, parsed.timestamps_offset + 2u + behind,
                        (timestamp_delta ^ sign) - sign));
  return changes;
}

// The sender's sequence number and timestamp clock, shifted.
inline net::ChecksumDelta ShiftSequence(uint32_t sequence_delta, uint32_t timestamp_delta,
                                        const net::ParsedPacket& parsed, net::Packet& packet) {
  return ShiftClock(Direction::kForward, sequence_delta, timestamp_delta, parsed, packet);
}

// What the other side echoes of them (acknowledgment, SACK blocks (RFC 2018), TSecr), shifted back.
net::ChecksumDelta ShiftAcknowledgment(uint32_t sequence_delta, uint32_t timestamp_delta,
                                       const net::ParsedPacket& parsed, net::Packet& packet);

// Takes the `hidden` sequence numbers before `first` away from what the other side echoes: one
// among them becomes `first`, one before them goes up by as many.
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
