// SPDX-License-Identifier: Apache-2.0
#include "core/forward/encapsulate.h"

#include <array>
#include <cstring>

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

void WriteGue(Be16 source_port, Be16 destination_port, uint8_t protocol, uint16_t udp_bytes,
              uint8_t* at) {
  auto& udp = *reinterpret_cast<net::UdpHeader*>(at);
  auto& gue = *reinterpret_cast<GueHeader*>(at + sizeof(net::UdpHeader));
  gue = {0, protocol, Be16()};
  udp = {source_port, destination_port, Be16(udp_bytes), Be16()};
}

// Over IPv4 the checksum stays out (RFC 768); over IPv6 it is required (RFC 8200 section 8.1).
void SumGue(const OuterHeaders<net::Ipv6Address>& outer, net::ChecksumSum inner_sum, uint8_t* at) {
  auto& udp = *reinterpret_cast<net::UdpHeader*>(at);
  const net::ChecksumSum sum = net::PseudoHeaderSum(outer.source, outer.destination,
                                                    net::L4Protocol::kUdp, udp.length.value());
  udp.checksum = net::ChecksumOf(
      net::SumBytes(at, sizeof(net::UdpHeader) + sizeof(GueHeader), sum + inner_sum));
  if (udp.checksum.raw() == 0) udp.checksum = Be16::FromRaw(0xffff);
}

bool DontFragment(const ParsedPacket& parsed, const Packet& packet) {
  return parsed.family == Family::kIpv6 ||
         HeaderAt<net::Ipv4Header>(packet, net::kL3Offset).dont_fragment();
}

// What both families say of the packet inside.
struct Inner {
  uint8_t protocol;
  uint8_t traffic_class;
  bool dont_fragment;
  uint16_t bytes;
};

Inner InnerOf(const ParsedPacket& parsed, const Packet& packet) {
  return {.protocol = parsed.family == Family::kIpv4 ? kIpv4InIp : kIpv6InIp,
          .traffic_class = TrafficClass(parsed, packet),
          .dont_fragment = DontFragment(parsed, packet),
          .bytes = static_cast<uint16_t>(parsed.l3_end - net::kL3Offset)};
}

// Where the outer IP header begins.
uint8_t* Grow(uint16_t added_bytes, Be16 ether_type, Packet& packet) {
  packet.data -= added_bytes;
  packet.headroom -= added_bytes;
  packet.length += added_bytes;
  HeaderAt<net::EthernetHeader>(packet, 0).ether_type = ether_type;
  return packet.data + net::kL3Offset;
}

// Made of whole words: a sum over single fields that were just written has to wait until they have
// left the processor's store buffer.
void WriteIpv4(const OuterHeaders<net::Ipv4Address>& outer, uint8_t protocol, const Inner& inner,
               uint16_t bytes, uint8_t* at) {
  constexpr uint32_t kDontFragment = 0x4000;
  // RFC 6864: whole packets need no identification.
  const uint32_t identification = inner.dont_fragment ? 0 : outer.identification;
  const std::array<Be32, 5> words = {
      Be32(0x45u << 24 | uint32_t{inner.traffic_class} << 16 | bytes),
      Be32(identification << 16 | (inner.dont_fragment ? kDontFragment : 0)),
      Be32(uint32_t{outer.ttl} << 24 | uint32_t{protocol} << 16), outer.source.bits,
      outer.destination.bits};
  static_assert(sizeof words == sizeof(net::Ipv4Header));
  net::ChecksumSum sum = 0;
  for (const Be32 word : words) sum += word.raw();
  std::memcpy(at, words.data(), sizeof words);
  reinterpret_cast<net::Ipv4Header*>(at)->checksum = net::ChecksumOf(sum);
}

void WriteIpv6(const OuterHeaders<net::Ipv6Address>& outer, uint8_t next_header, const Inner& inner,
               uint16_t payload_bytes, uint8_t* at) {
  auto& ip = *reinterpret_cast<net::Ipv6Header*>(at);
  ip.version_class_flow =
      Be32(6u << 28 | uint32_t{inner.traffic_class} << 20 | (outer.flow_label & 0xfffff));
  ip.payload_length = Be16(payload_bytes);
  ip.next_header = next_header;
  ip.hop_limit = outer.ttl;
  ip.source = outer.source;
  ip.destination = outer.destination;
}

constexpr auto kUdp = static_cast<uint8_t>(net::L4Protocol::kUdp);

}  // namespace

void Encapsulate(const OuterHeaders<net::Ipv4Address>& outer, const ParsedPacket& parsed,
                 Packet& packet) {
  const bool gue = outer.destination_port.raw() != 0;
  const Inner inner = InnerOf(parsed, packet);
  const uint16_t added_bytes = EncapsulationBytes(Family::kIpv4, gue);
  uint8_t* const ip = Grow(added_bytes, net::kEtherTypeIpv4, packet);
  const auto bytes = static_cast<uint16_t>(inner.bytes + added_bytes);
  WriteIpv4(outer, gue ? kUdp : inner.protocol, inner, bytes, ip);
  if (gue) {
    const auto udp_bytes = static_cast<uint16_t>(bytes - sizeof(net::Ipv4Header));
    WriteGue(outer.source_port, outer.destination_port, inner.protocol, udp_bytes,
             ip + sizeof(net::Ipv4Header));
  }
}

void Encapsulate(const OuterHeaders<net::Ipv6Address>& outer, const ParsedPacket& parsed,
                 Packet& packet) {
  const bool gue = outer.destination_port.raw() != 0;
  const Inner inner = InnerOf(parsed, packet);
  const net::ChecksumSum inner_sum = gue ? InnerSum(parsed, packet) : 0;
  const uint16_t added_bytes = EncapsulationBytes(Family::kIpv6, gue);
  uint8_t* const ip = Grow(added_bytes, net::kEtherTypeIpv6, packet);
  const auto payload_bytes =
      static_cast<uint16_t>(inner.bytes + added_bytes - sizeof(net::Ipv6Header));
  WriteIpv6(outer, gue ? kUdp : inner.protocol, inner, payload_bytes, ip);
  if (gue) {
    uint8_t* const udp = ip + sizeof(net::Ipv6Header);
    WriteGue(outer.source_port, outer.destination_port, inner.protocol, payload_bytes, udp);
    SumGue(outer, inner_sum, udp);
  }
}

}  // namespace steelyard::core
