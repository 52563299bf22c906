// SPDX-License-Identifier: Apache-2.0
//
// What every NAT mode does to a packet: addresses and ports become the flow's rewrite, and the
// checksums follow by difference (RFC 1624), so that a corruption on the way in stays visible on
// the way out.
#pragma once

#include "core/forward/tcp_adjust.h"
#include "core/session_table.h"
#include "net/checksum.h"
#include "net/parser.h"

namespace steelyard::core {

// What the IPv4 checksum makes of a TTL that is one less: the upper byte of its word.
inline constexpr net::ChecksumDelta kOneHopLess =
    net::ChecksumDelta().Replace(net::Be16(0x0100), net::Be16(0));

// TCP and UDP have their ports in the same place; the checksum's differs. Both ports are one word.
inline void TranslateL4(const net::ParsedPacket& parsed, net::Packet& packet,
                        net::L4Protocol protocol, net::Be16 source_port, net::Be16 destination_port,
                        net::ChecksumDelta changes) {
  auto& ports = net::HeaderAt<net::Be32>(packet, parsed.l4_offset);
  const auto rewritten = net::Be32::FromRaw(source_port.raw() | destination_port.raw() << 16u);
  changes.Replace(ports, rewritten);
  ports = rewritten;
  if (protocol == net::L4Protocol::kTcp) [[likely]] {
    auto& tcp = net::HeaderAt<net::TcpHeader>(packet, parsed.l4_offset);
    tcp.checksum = changes.ApplyTo(tcp.checksum);
  } else if (auto& udp = net::HeaderAt<net::UdpHeader>(packet, parsed.l4_offset);
             udp.checksum.raw() != 0) {
    udp.checksum = changes.ApplyToUdp(udp.checksum);
  }
}

// `changes`: under the checksum, which in IPv4 covers no addresses.
void TranslateEcho(const net::ParsedPacket& parsed, net::Packet& packet, net::Be16 source_port,
                   net::Be16 destination_port, net::ChecksumDelta changes);

void TranslateWidePacket(const WideFlow& record, const net::ParsedPacket& parsed,
                         net::Packet& packet, net::ChecksumDelta l4_changes);

// `l4_changes`: what else was changed under the TCP or UDP checksum (not addresses or ports).
// Inline: most packets' whole rewrite is here.
[[gnu::always_inline]] inline void TranslatePacket(const SessionTable& sessions, FlowRef flow,
                                                   const net::ParsedPacket& parsed,
                                                   net::Packet& packet,
                                                   net::ChecksumDelta l4_changes) {
  if (sessions.IsWide(flow))
    return TranslateWidePacket(sessions.wide(flow), parsed, packet, l4_changes);
  const NarrowFlow& record = sessions.narrow(flow);
  const net::ChecksumDelta addresses(record.state.address_checksum_delta);
  auto& ip = net::HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
  ip.source = record.new_source;
  ip.destination = record.new_destination;
  ip.checksum = addresses.ApplyTo(ip.checksum);
  if (record.state.protocol == net::L4Protocol::kIcmp) [[unlikely]]
    return TranslateEcho(parsed, packet, record.new_source_port, record.new_destination_port,
                         l4_changes);
  TranslateL4(parsed, packet, record.state.protocol, record.new_source_port,
              record.new_destination_port, l4_changes.Add(addresses));
}

// The IP header, of a packet whose TTL has not run out.
inline void TranslateIp(const NarrowFlow& record, net::Packet& packet) {
  auto& ip = net::HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
  --ip.ttl;
  ip.source = record.new_source;
  ip.destination = record.new_destination;
  ip.checksum =
      net::ChecksumDelta(record.state.address_checksum_delta).Add(kOneHopLess).ApplyTo(ip.checksum);
}
inline void TranslateIp(const WideFlow& record, net::Packet& packet) {
  auto& ip = net::HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
  --ip.hop_limit;
  ip.source = record.new_source;
  ip.destination = record.new_destination;
}

// A plain packet of a steady flow with FlagsOfTranslated, TTL and TCP's clocks included: the short
// form of what the modes do.
template <typename Record>
[[gnu::always_inline]] inline void TranslatePlain(const Record& record, Direction direction,
                                                  const net::ParsedPacket& parsed,
                                                  net::Packet& packet) {
  const FlowState& state = record.state;
  TranslateIp(record, packet);
  net::ChecksumDelta changes(state.address_checksum_delta);
  if (state.protocol == net::L4Protocol::kTcp) [[likely]]
    changes.Add(ShiftClock(direction, state.sequence_delta, state.timestamp_delta, parsed, packet));
  TranslateL4(parsed, packet, state.protocol, record.new_source_port, record.new_destination_port,
              changes);
}

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
