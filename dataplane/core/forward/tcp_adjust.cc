// SPDX-License-Identifier: Apache-2.0
#include "core/forward/tcp_adjust.h"

namespace steelyard::core {

using net::Be16;
using net::Be32;
using net::ChecksumDelta;
using net::HeaderAt;
using net::Packet;
using net::ParsedPacket;
using net::TcpHeader;

namespace {

// An option may stand at an odd offset, where its bytes count swapped in the checksum: the bytes
// are replaced in the 16-bit words of the segment that hold them.
ChecksumDelta ReplaceInSegment(const ParsedPacket& parsed, Packet& packet, size_t offset,
                               const void* bytes, size_t length) {
  const size_t begin = offset - (offset - parsed.l4_offset) % 2;
  const size_t end = offset + length + (offset + length - parsed.l4_offset) % 2;
  uint8_t before[48];  // the longest option is 40 bytes
  std::memcpy(before, packet.data + begin, end - begin);
  std::memcpy(packet.data + offset, bytes, length);
  return ChecksumDelta().Replace(before, packet.data + begin, end - begin);
}

}  // namespace

ChecksumDelta ClampMss(uint16_t max_segment_bytes, const ParsedPacket& parsed, Packet& packet) {
  if (parsed.mss_offset == 0) return {};
  const size_t offset = parsed.mss_offset + 2u;
  if (HeaderAt<Be16>(packet, offset).value() <= max_segment_bytes) return {};
  const Be16 clamped(max_segment_bytes);
  return ReplaceInSegment(parsed, packet, offset, &clamped, sizeof clamped);
}

ChecksumDelta ShiftAtOddOffset(const ParsedPacket& parsed, Packet& packet, size_t offset,
                               uint32_t delta) {
  const Be32 after(HeaderAt<Be32>(packet, offset).value() + delta);
  return ReplaceInSegment(parsed, packet, offset, &after, sizeof after);
}

ChecksumDelta ShiftAcknowledgment(uint32_t sequence_delta, uint32_t timestamp_delta,
                                  const ParsedPacket& parsed, Packet& packet) {
  // Without ACK neither the field nor TSecr means anything (RFC 7323 section 3.2).
  if ((parsed.tcp_flags & net::kTcpAck) == 0) return {};
  ChecksumDelta changes =
      ShiftClock(Direction::kReverse, sequence_delta, timestamp_delta, parsed, packet);
  if (parsed.sack_offset != 0) {
    const uint8_t bytes = packet.data[parsed.sack_offset + 1];
    for (size_t at = 2; at < bytes; at += 4)
      changes.Add(Shift32(parsed, packet, parsed.sack_offset + at, 0 - sequence_delta));
  }
  return changes;
}

uint32_t WithoutHidden(uint32_t sequence, uint32_t first, uint32_t hidden) {
  const uint32_t before = first - sequence;
  if (static_cast<int32_t>(before) <= 0) return sequence;
  return before <= hidden ? first : sequence + hidden;
}

ChecksumDelta HideSequenceNumbers(uint32_t first, uint32_t hidden, const ParsedPacket& parsed,
                                  Packet& packet) {
  if ((parsed.tcp_flags & net::kTcpAck) == 0) return {};
  auto& tcp = HeaderAt<TcpHeader>(packet, parsed.l4_offset);
  const Be32 acknowledgment(WithoutHidden(tcp.acknowledgment.value(), first, hidden));
  ChecksumDelta changes;
  changes.Replace(tcp.acknowledgment, acknowledgment);
  tcp.acknowledgment = acknowledgment;
  if (parsed.sack_offset == 0) return changes;

  const uint8_t bytes = packet.data[parsed.sack_offset + 1];
  uint8_t option[40];
  size_t end = 2;
  for (size_t at = parsed.sack_offset + 2u; at < parsed.sack_offset + size_t{bytes}; at += 8) {
    const Be32 left(WithoutHidden(HeaderAt<Be32>(packet, at).value(), first, hidden));
    const Be32 right(WithoutHidden(HeaderAt<Be32>(packet, at + 4).value(), first, hidden));
    if (left == right) continue;
    std::memcpy(option + end, &left, 4);
    std::memcpy(option + end + 4, &right, 4);
    end += 8;
  }
  if (end == 2) end = 0;
  std::memset(option + end, net::kTcpOptionNop, bytes - end);
  if (end != 0) {
    option[0] = net::kTcpOptionSack;
    option[1] = static_cast<uint8_t>(end);
  }
  return changes.Add(ReplaceInSegment(parsed, packet, parsed.sack_offset, option, bytes));
}

ChecksumDelta BlankTcpOptions(uint8_t kind, const ParsedPacket& parsed, Packet& packet) {
  const size_t begin = parsed.l4_offset + sizeof(TcpHeader);
  net::TcpOptionWalker walker(packet.data + begin, parsed.payload_offset - begin);
  ChecksumDelta changes;
  while (const uint8_t* option = walker.Next()) {
    if (option[0] != kind) continue;
    uint8_t padding[40];
    std::memset(padding, net::kTcpOptionNop, sizeof padding);
    changes.Add(ReplaceInSegment(parsed, packet, static_cast<size_t>(option - packet.data), padding,
                                 option[1]));
  }
  return changes;
}

}  // namespace steelyard::core
