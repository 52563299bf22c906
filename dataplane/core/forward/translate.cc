// SPDX-License-Identifier: Apache-2.0
#include "core/forward/translate.h"

namespace steelyard::core {

using net::Be16;
using net::ChecksumDelta;
using net::HeaderAt;
using net::Packet;
using net::ParsedPacket;

void TranslateEcho(const ParsedPacket& parsed, Packet& packet, Be16 source_port,
                   Be16 destination_port, ChecksumDelta changes) {
  auto& echo = HeaderAt<net::IcmpEchoHeader>(packet, parsed.l4_offset);
  const Be16 identifier = net::IsEchoRequest(echo.type) ? source_port : destination_port;
  echo.checksum = changes.Replace(echo.identifier, identifier).ApplyTo(echo.checksum);
  echo.identifier = identifier;
}

void TranslateWidePacket(const WideFlow& record, const ParsedPacket& parsed, Packet& packet,
                         ChecksumDelta l4_changes) {
  // Else ChangeFamily has written them.
  if ((record.state.flags & kFlowRewriteIsIpv4) == 0) [[likely]] {
    auto& ip = HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
    ip.source = record.new_source;
    ip.destination = record.new_destination;
  }
  l4_changes.Add(ChecksumDelta(record.state.address_checksum_delta));
  if (record.state.protocol == net::L4Protocol::kIcmpv6) [[unlikely]]
    return TranslateEcho(parsed, packet, record.new_source_port, record.new_destination_port,
                         l4_changes);
  TranslateL4(parsed, packet, record.state.protocol, record.new_source_port,
              record.new_destination_port, l4_changes);
}

namespace {

// The length fields of the IP header for an l3_end that has changed; the pseudo header's change is
// returned.
ChecksumDelta SetLength(uint16_t l3_end_before, const ParsedPacket& parsed, Packet& packet) {
  if (parsed.family == net::Family::kIpv4) {
    auto& ip = HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
    const Be16 total_length(static_cast<uint16_t>(parsed.l3_end - net::kL3Offset));
    ip.checksum = ChecksumDelta().Replace(ip.total_length, total_length).ApplyTo(ip.checksum);
    ip.total_length = total_length;
  } else {
    auto& ip = HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
    ip.payload_length =
        Be16(static_cast<uint16_t>(parsed.l3_end - net::kL3Offset - sizeof(net::Ipv6Header)));
  }
  return ChecksumDelta().Replace(Be16(static_cast<uint16_t>(l3_end_before - parsed.l4_offset)),
                                 Be16(static_cast<uint16_t>(parsed.l3_end - parsed.l4_offset)));
}

// Moves what stands before `offset` to the front and puts `bytes` into the gap. Offsets up to there
// stay as they are; l3_end follows, and the lengths do.
ChecksumDelta Insert(size_t offset, const uint8_t* bytes, uint8_t length, ParsedPacket& parsed,
                     Packet& packet) {
  std::memmove(packet.data - length, packet.data, offset);
  packet.data -= length;
  packet.headroom -= length;
  packet.length += length;
  std::memcpy(packet.data + offset, bytes, length);
  const uint16_t l3_end_before = parsed.l3_end;
  parsed.l3_end = static_cast<uint16_t>(parsed.l3_end + length);
  return SetLength(l3_end_before, parsed, packet).Add(bytes, length);
}

}  // namespace

ChecksumDelta InsertTcpOption(const uint8_t* option, uint8_t bytes, ParsedPacket& parsed,
                              Packet& packet) {
  ChecksumDelta changes =
      Insert(parsed.l4_offset + sizeof(net::TcpHeader), option, bytes, parsed, packet);
  for (uint16_t* offset : {&parsed.timestamps_offset, &parsed.sack_offset, &parsed.mss_offset})
    if (*offset != 0) *offset = static_cast<uint16_t>(*offset + bytes);
  parsed.payload_offset = static_cast<uint16_t>(parsed.payload_offset + bytes);

  auto& tcp = HeaderAt<net::TcpHeader>(packet, parsed.l4_offset);
  const auto offset_before = static_cast<uint16_t>(tcp.data_offset_and_reserved << 8);
  tcp.data_offset_and_reserved =
      static_cast<uint8_t>(tcp.data_offset_and_reserved + (bytes / 4 << 4));
  const auto offset_after = static_cast<uint16_t>(tcp.data_offset_and_reserved << 8);
  return changes.Replace(Be16(offset_before), Be16(offset_after));
}

ChecksumDelta InsertPayload(const uint8_t* bytes, uint8_t length, ParsedPacket& parsed,
                            Packet& packet) {
  ChecksumDelta changes = Insert(parsed.payload_offset, bytes, length, parsed, packet);
  if (parsed.protocol() == net::L4Protocol::kUdp) {
    auto& udp = HeaderAt<net::UdpHeader>(packet, parsed.l4_offset);
    const Be16 udp_length(static_cast<uint16_t>(udp.length.value() + length));
    changes.Replace(udp.length, udp_length);
    udp.length = udp_length;
  }
  return changes;
}

ChecksumDelta CutPayload(ParsedPacket& parsed, Packet& packet) {
  const uint32_t bytes = parsed.payload_bytes();
  if (bytes == 0) return {};
  const auto sum =
      Be16::FromRaw(net::FoldSum(net::SumBytes(packet.data + parsed.payload_offset, bytes)));
  const uint16_t l3_end_before = parsed.l3_end;
  parsed.l3_end = parsed.payload_offset;
  packet.length = parsed.payload_offset;
  return SetLength(l3_end_before, parsed, packet).Replace(sum, Be16());
}

}  // namespace steelyard::core
