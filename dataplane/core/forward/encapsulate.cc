// SPDX-License-Identifier: Apache-2.0
#include "core/forward/encapsulate.h"

#include "net/checksum.h"

namespace steelyard::core {

using net::Be16;
using net::Be32;
using net::Family;
using net::HeaderAt;
using net::Packet;
using net::ParsedPacket;

namespace {

constexpr uint8_t kIpv4InIp = 4;
constexpr uint8_t kIpv6InIp = 41;

struct GueHeader {
  uint8_t version_and_length;  // version 0, no extension words
  uint8_t protocol;
  Be16 flags;
};
static_assert(sizeof(GueHeader) == 4);

uint8_t TrafficClass(const ParsedPacket& parsed, const Packet& packet) {
  if (parsed.family == Family::kIpv4)
    return HeaderAt<net::Ipv4Header>(packet, net::kL3Offset).dscp_and_ecn;
  const auto& ip = HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
  return static_cast<uint8_t>(ip.version_class_flow.value() >> 20);
}

bool IsCoveredByItsChecksum(const ParsedPacket& parsed, const Packet& packet, uint32_t l4_bytes) {
  if (parsed.packet_class != net::PacketClass::kFlow) return false;
  if (parsed.protocol() == net::L4Protocol::kTcp) return true;
  const auto& udp = HeaderAt<net::UdpHeader>(packet, parsed.l4_offset);
  return udp.checksum.raw() != 0 && udp.length.value() == l4_bytes;
}

// The sum of the inner packet from its own checksums, without reading its payload: an IPv4 header
// sums to zero, and so does layer 4 with its pseudo header. A packet that is damaged inside gets an
// outer checksum that is wrong as well.
net::ChecksumSum InnerSum(const ParsedPacket& parsed, const Packet& packet) {
  const size_t bytes = parsed.l3_end - net::kL3Offset;
  const uint8_t* inner = packet.data + net::kL3Offset;
  const auto l4_bytes = static_cast<uint32_t>(parsed.l3_end - parsed.l4_offset);
  if (!IsCoveredByItsChecksum(parsed, packet, l4_bytes)) return net::SumBytes(inner, bytes);
  const net::ChecksumSum headers = net::SumBytes(inner, parsed.l4_offset - net::kL3Offset);
  const net::ChecksumSum pseudo =
      parsed.family == Family::kIpv4 ? net::PseudoHeaderSum(parsed.v4.source, parsed.v4.destination,
                                                            parsed.v4.protocol, l4_bytes)
                                     : net::PseudoHeaderSum(parsed.v6.source, parsed.v6.destination,
                                                            parsed.v6.protocol, l4_bytes);
  return headers + static_cast<uint16_t>(~net::FoldSum(pseudo));
}

// Over IPv4 the checksum stays out (RFC 768); over IPv6 it is required (RFC 8200 section 8.1).
void WriteGue(const OuterHeaders& outer, uint8_t protocol, const ParsedPacket& parsed,
              net::ChecksumSum inner_sum, uint8_t* at) {
  const auto udp_bytes = static_cast<uint16_t>(parsed.l3_end - net::kL3Offset + sizeof(GueHeader) +
                                               sizeof(net::UdpHeader));
  auto& udp = *reinterpret_cast<net::UdpHeader*>(at);
  auto& gue = *reinterpret_cast<GueHeader*>(at + sizeof(net::UdpHeader));
  gue = {0, protocol, Be16()};
  udp = {outer.source.port, outer.destination.port, Be16(udp_bytes), Be16()};
  if (outer.destination.address.is_v4()) return;
  const net::ChecksumSum sum = net::PseudoHeaderSum(
      outer.source.address.v6(), outer.destination.address.v6(), net::L4Protocol::kUdp, udp_bytes);
  udp.checksum = net::ChecksumOf(
      net::SumBytes(at, sizeof(net::UdpHeader) + sizeof(GueHeader), sum + inner_sum));
  if (udp.checksum.raw() == 0) udp.checksum = Be16::FromRaw(0xffff);
}

bool DontFragment(const ParsedPacket& parsed, const Packet& packet) {
  return parsed.family == Family::kIpv6 ||
         HeaderAt<net::Ipv4Header>(packet, net::kL3Offset).dont_fragment();
}

void WriteIpv4(const OuterHeaders& outer, uint8_t protocol, uint8_t traffic_class,
               bool dont_fragment, uint16_t bytes, uint8_t* at) {
  auto& ip = *reinterpret_cast<net::Ipv4Header*>(at);
  ip.version_and_length = 0x45;
  ip.dscp_and_ecn = traffic_class;
  ip.total_length = Be16(bytes);
  // RFC 6864: whole packets need no identification.
  ip.identification = Be16(dont_fragment ? uint16_t{0} : outer.identification);
  ip.flags_and_offset = Be16(dont_fragment ? 0x4000 : 0);
  ip.ttl = outer.ttl;
  ip.protocol = protocol;
  ip.checksum = Be16();
  ip.source = outer.source.address.v4();
  ip.destination = outer.destination.address.v4();
  ip.checksum = net::ChecksumOf(net::SumBytes(&ip, sizeof ip));
}

void WriteIpv6(const OuterHeaders& outer, uint8_t next_header, uint8_t traffic_class,
               uint16_t payload_bytes, uint8_t* at) {
  auto& ip = *reinterpret_cast<net::Ipv6Header*>(at);
  ip.version_class_flow =
      Be32(6u << 28 | uint32_t{traffic_class} << 20 | (outer.flow_label & 0xfffff));
  ip.payload_length = Be16(payload_bytes);
  ip.next_header = next_header;
  ip.hop_limit = outer.ttl;
  ip.source = outer.source.address.v6();
  ip.destination = outer.destination.address.v6();
}

}  // namespace

void Encapsulate(const OuterHeaders& outer, const ParsedPacket& parsed, Packet& packet) {
  const bool over_ipv4 = outer.destination.address.is_v4();
  const bool gue = outer.destination.port.raw() != 0;
  const uint16_t added_bytes = EncapsulationBytes(outer.destination.address.family(), gue);
  const uint8_t inner_protocol = parsed.family == Family::kIpv4 ? kIpv4InIp : kIpv6InIp;
  const uint8_t outer_protocol = gue ? static_cast<uint8_t>(net::L4Protocol::kUdp) : inner_protocol;
  const uint8_t traffic_class = TrafficClass(parsed, packet);
  const bool dont_fragment = DontFragment(parsed, packet);
  const auto bytes = static_cast<uint16_t>(parsed.l3_end - net::kL3Offset + added_bytes);
  const net::ChecksumSum inner_sum = gue && !over_ipv4 ? InnerSum(parsed, packet) : 0;

  packet.data -= added_bytes;
  packet.headroom -= added_bytes;
  packet.length += added_bytes;
  HeaderAt<net::EthernetHeader>(packet, 0).ether_type =
      over_ipv4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6;
  uint8_t* ip = packet.data + net::kL3Offset;
  const size_t ip_bytes = over_ipv4 ? sizeof(net::Ipv4Header) : sizeof(net::Ipv6Header);
  if (gue) WriteGue(outer, inner_protocol, parsed, inner_sum, ip + ip_bytes);
  if (over_ipv4)
    WriteIpv4(outer, outer_protocol, traffic_class, dont_fragment, bytes, ip);
  else
    WriteIpv6(outer, outer_protocol, traffic_class, static_cast<uint16_t>(bytes - ip_bytes), ip);
}

}  // namespace steelyard::core
