// SPDX-License-Identifier: Apache-2.0
#include "core/forward/translate.h"

namespace steelyard::core {

using net::Be16;
using net::ChecksumDelta;
using net::HeaderAt;
using net::Packet;
using net::ParsedPacket;

namespace {

// TCP and UDP have their ports in the same place; the checksum's differs.
void TranslateL4(const ParsedPacket& parsed, Packet& packet, net::L4Protocol protocol,
                 Be16 source_port, Be16 destination_port, ChecksumDelta changes) {
  auto& ports = HeaderAt<net::UdpHeader>(packet, parsed.l4_offset);
  changes.Replace(ports.source_port, source_port);
  changes.Replace(ports.destination_port, destination_port);
  ports.source_port = source_port;
  ports.destination_port = destination_port;
  if (protocol == net::L4Protocol::kTcp) {
    auto& tcp = HeaderAt<net::TcpHeader>(packet, parsed.l4_offset);
    tcp.checksum = changes.ApplyTo(tcp.checksum);
  } else if (ports.checksum.raw() != 0) {
    ports.checksum = changes.ApplyToUdp(ports.checksum);
  }
}

}  // namespace

void TranslatePacket(const SessionTable& sessions, FlowRef flow, const ParsedPacket& parsed,
                     Packet& packet, ChecksumDelta l4_changes) {
  if (!sessions.IsWide(flow)) {
    const NarrowFlow& record = sessions.narrow(flow);
    const ChecksumDelta addresses(record.state.address_checksum_delta);
    auto& ip = HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
    ip.source = record.new_source;
    ip.destination = record.new_destination;
    ip.checksum = addresses.ApplyTo(ip.checksum);
    TranslateL4(parsed, packet, record.state.protocol, record.new_source_port,
                record.new_destination_port, l4_changes.Add(addresses));
    return;
  }
  const WideFlow& record = sessions.wide(flow);
  auto& ip = HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
  ip.source = record.new_source;
  ip.destination = record.new_destination;
  TranslateL4(parsed, packet, record.state.protocol, record.new_source_port,
              record.new_destination_port,
              l4_changes.Add(ChecksumDelta(record.state.address_checksum_delta)));
}

ChecksumDelta InsertTcpOption(const uint8_t* option, uint8_t bytes, ParsedPacket& parsed,
                              Packet& packet) {
  const size_t moved_bytes = parsed.l4_offset + sizeof(net::TcpHeader);
  std::memmove(packet.data - bytes, packet.data, moved_bytes);
  packet.data -= bytes;
  packet.headroom -= bytes;
  packet.length += bytes;
  std::memcpy(packet.data + moved_bytes, option, bytes);

  for (uint16_t* offset : {&parsed.timestamps_offset, &parsed.sack_offset, &parsed.mss_offset})
    if (*offset != 0) *offset = static_cast<uint16_t>(*offset + bytes);
  const auto l4_bytes_before = static_cast<uint16_t>(parsed.l3_end - parsed.l4_offset);
  parsed.payload_offset = static_cast<uint16_t>(parsed.payload_offset + bytes);
  parsed.l3_end = static_cast<uint16_t>(parsed.l3_end + bytes);

  if (parsed.family == net::Family::kIpv4) {
    auto& ip = HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
    const Be16 total_length(static_cast<uint16_t>(ip.total_length.value() + bytes));
    ip.checksum = ChecksumDelta().Replace(ip.total_length, total_length).ApplyTo(ip.checksum);
    ip.total_length = total_length;
  } else {
    auto& ip = HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
    ip.payload_length = Be16(static_cast<uint16_t>(ip.payload_length.value() + bytes));
  }

  auto& tcp = HeaderAt<net::TcpHeader>(packet, parsed.l4_offset);
  const auto offset_before = static_cast<uint16_t>(tcp.data_offset_and_reserved << 8);
  tcp.data_offset_and_reserved =
      static_cast<uint8_t>(tcp.data_offset_and_reserved + (bytes / 4 << 4));
  const auto offset_after = static_cast<uint16_t>(tcp.data_offset_and_reserved << 8);
  return ChecksumDelta()
      .Add(option, bytes)
      .Replace(Be16(offset_before), Be16(offset_after))
      .Replace(Be16(l4_bytes_before), Be16(static_cast<uint16_t>(l4_bytes_before + bytes)));
}

}  // namespace steelyard::core
