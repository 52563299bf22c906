// SPDX-License-Identifier: Apache-2.0
#include "core/icmp_error.h"

#include <algorithm>

#include "core/forward/proxy_protocol.h"
#include "core/forward/tcp_adjust.h"
#include "net/checksum.h"

namespace steelyard::core {

using net::Be16;
using net::ChecksumDelta;
using net::ChecksumSum;
using net::Family;
using net::FlowKey;
using net::HeaderAt;
using net::Packet;
using net::ParsedPacket;

namespace {

ChecksumSum IcmpSum(const ParsedPacket& parsed, const Packet& packet) {
  const uint32_t icmp_bytes = parsed.l3_end - parsed.l4_offset;
  ChecksumSum sum = 0;
  if (parsed.family == Family::kIpv6) {
    const auto& ip = HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
    sum = net::PseudoHeaderSum(ip.source, ip.destination, net::L4Protocol::kIcmpv6, icmp_bytes);
  }
  return net::SumBytes(packet.data + parsed.l4_offset, icmp_bytes, sum);
}

// The addresses of an IP header, whatever its family.
void SetAddresses(Packet& packet, size_t l3_offset, const net::IpAddress& source,
                  const net::IpAddress& destination) {
  if (source.is_v4()) {
    auto& ip = HeaderAt<net::Ipv4Header>(packet, l3_offset);
    ChecksumDelta changes;
    changes.Replace(net::IpAddress(ip.source), source);
    changes.Replace(net::IpAddress(ip.destination), destination);
    ip.source = source.v4();
    ip.destination = destination.v4();
    ip.checksum = changes.ApplyTo(ip.checksum);
  } else {
    auto& ip = HeaderAt<net::Ipv6Header>(packet, l3_offset);
    ip.source = source.v6();
    ip.destination = destination.v6();
  }
}

// Takes the sequence number of a client's segment back to what the client sent.
uint32_t QuotedSequenceDelta(const SessionTable& sessions, FlowRef flow, uint32_t quoted) {
  const FlowState& state = sessions.state(flow);
  if (state.flags & kFlowProxyHeader) return ClientSequence(sessions, flow, quoted) - quoted;
  return 0 - state.sequence_delta;
}

// `changes`: under the checksum, which in IPv4 covers no addresses.
void RestoreQuotedEcho(const FlowKey& sent, ChecksumDelta changes, const ParsedPacket& parsed,
                       Packet& packet) {
  auto& echo = HeaderAt<net::IcmpEchoHeader>(packet, parsed.quoted_l4_offset);
  const Be16 identifier = net::IsEchoRequest(echo.type) ? sent.source.port : sent.destination.port;
  echo.checksum = changes.Replace(echo.identifier, identifier).ApplyTo(echo.checksum);
  echo.identifier = identifier;
}

// `sent` is what the quoted packet's sender sent. `flow` runs against it.
void RestoreQuotedPacket(const SessionTable& sessions, FlowRef flow, const FlowKey& sent,
                         const ParsedPacket& parsed, Packet& packet) {
  const FlowState& state = sessions.state(flow);
  ChecksumDelta changes(state.address_checksum_delta);
  SetAddresses(packet, parsed.quoted_l3_offset, sent.source.address, sent.destination.address);
  if (net::IsIcmp(sent.protocol))
    return RestoreQuotedEcho(sent, sent.is_v4() ? ChecksumDelta() : changes, parsed, packet);
  const size_t quoted_bytes = parsed.l3_end - parsed.quoted_l4_offset;  // 8 at least
  auto& ports = HeaderAt<net::UdpHeader>(packet, parsed.quoted_l4_offset);
  changes.Replace(ports.source_port, sent.source.port);
  changes.Replace(ports.destination_port, sent.destination.port);
  ports.source_port = sent.source.port;
  ports.destination_port = sent.destination.port;
  if (sent.protocol == net::L4Protocol::kUdp) {
    if (ports.checksum.raw() != 0) ports.checksum = changes.ApplyToUdp(ports.checksum);
    return;
  }
  auto& tcp = HeaderAt<net::TcpHeader>(packet, parsed.quoted_l4_offset);
  ParsedPacket quoted = parsed;
  quoted.l4_offset = parsed.quoted_l4_offset;
  quoted.tcp_flags = quoted_bytes >= 14 ? tcp.flags : uint8_t{net::kTcpAck};
  if (DirectionOf(flow) == Direction::kReverse)  // quotes the client's segment
    changes.Add(ShiftSequence(QuotedSequenceDelta(sessions, flow, tcp.sequence.value()),
                              0 - state.timestamp_delta, quoted, packet));
  else if (quoted_bytes >= 12)
    changes.Add(
        ShiftAcknowledgment(0 - state.sequence_delta, 0 - state.timestamp_delta, quoted, packet));
  if (quoted_bytes >= 18) tcp.checksum = changes.ApplyTo(tcp.checksum);
}

void ShrinkMtu(int added_bytes, const ParsedPacket& parsed, Packet& packet) {
  const uint16_t mtu = MtuTold(parsed, packet);
  if (mtu < net::LeastMtu(parsed.family) + added_bytes) return;
  HeaderAt<net::IcmpErrorHeader>(packet, parsed.l4_offset).mtu =
      Be16(static_cast<uint16_t>(mtu - added_bytes));
}

// Where the NAT hides a side, a router of that side is hidden too; else its address is the news
// (RFC 5508 section 4.2).
net::IpAddress SenderOf(FlowRef flow, const SessionTable& sessions, const ParsedPacket& parsed,
                        const Packet& packet) {
  const SessionTable::Flow description = sessions.Describe(flow);
  if (description.key.source.address != description.rewrite.source.address)
    return description.rewrite.source.address;
  if (parsed.family == Family::kIpv4)
    return HeaderAt<net::Ipv4Header>(packet, net::kL3Offset).source;
  return HeaderAt<net::Ipv6Header>(packet, net::kL3Offset).source;
}

}  // namespace

uint16_t MtuTold(const ParsedPacket& parsed, const Packet& packet) {
  const auto& icmp = HeaderAt<net::IcmpErrorHeader>(packet, parsed.l4_offset);
  const bool tells = parsed.family == Family::kIpv4
                         ? icmp.type == net::kIcmpv4DestinationUnreachable &&
                               icmp.code == net::kIcmpv4CodeFragmentationNeeded
                         : icmp.type == net::kIcmpv6PacketTooBig;
  return tells ? icmp.mtu.value() : uint16_t{0};
}

bool VerifyIcmpChecksum(const ParsedPacket& parsed, const Packet& packet) {
  return net::FoldSum(IcmpSum(parsed, packet)) == 0xffff;
}

void TranslateIcmpError(const SessionTable& sessions, FlowRef flow, int added_bytes,
                        const ParsedPacket& parsed, Packet& packet) {
  const FlowKey rewrite = sessions.RewriteOf(flow);
  RestoreQuotedPacket(sessions, flow, rewrite.Reversed(), parsed, packet);
  if (!ChangesFamily(sessions.state(flow).flags)) ShrinkMtu(added_bytes, parsed, packet);
  SetAddresses(packet, net::kL3Offset, SenderOf(flow, sessions, parsed, packet),
               rewrite.destination.address);
  auto& icmp = HeaderAt<net::IcmpErrorHeader>(packet, parsed.l4_offset);
  icmp.checksum = Be16();
  icmp.checksum = net::ChecksumOf(IcmpSum(parsed, packet));
}

}  // namespace steelyard::core
