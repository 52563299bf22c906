// SPDX-License-Identifier: Apache-2.0
#include "net/parser.h"

#include <new>

#include "net/checksum.h"

namespace steelyard::net {
namespace {

constexpr int kMaxExtensionHeaders = 8;

void Malformed(ParsedPacket& parsed, Verdict reason) {
  parsed.packet_class = PacketClass::kMalformed;
  parsed.malformed = reason;
}

// Sources that no host can have; the kernel drops them too, and knows the exceptions (DHCP).
bool IsMartian(Ipv4Address source, Ipv4Address destination) {
  const uint32_t first = source.bits.value() >> 24;
  return first == 0 || first == 127 || first >= 224 || source == destination;
}
// Of IPv6 also those that stay on their link, and IPv4 addresses in disguise.
bool IsMartian(const Ipv6Address& source, const Ipv6Address& destination) {
  static constexpr Ipv6Address kUnspecified{};
  static constexpr Ipv6Address kLoopback{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  static constexpr uint8_t kIpv4Mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  const uint8_t* bytes = source.bytes.data();
  if (bytes[0] == 0xff || source == destination) return true;
  if (bytes[0] == 0xfe) return (bytes[1] & 0xc0) == 0x80;
  return bytes[0] == 0 && (source == kUnspecified || source == kLoopback ||
                           std::memcmp(bytes, kIpv4Mapped, sizeof kIpv4Mapped) == 0);
}

// --- TCP options -------------------------------------------------------------------------------

void NoteTcpOption(ParsedPacket& parsed, const uint8_t* option, uint16_t offset) {
  const uint8_t length = option[1];
  if (option[0] == kTcpOptionTimestamps && length == 10) {
    parsed.timestamps_offset = offset;
  } else if (option[0] == kTcpOptionMss && length == 4) {
    parsed.mss_offset = offset;
  } else if (option[0] == kTcpOptionSack && length >= 10 && length % 8 == 2) {
    parsed.sack_offset = offset;
  } else if (option[0] != kTcpOptionWindowScale && option[0] != kTcpOptionSackPermitted) {
    parsed.has_other_options = true;
  }
}

// Options from `at` to `end`. False: they are not a list.
bool ParseTcpOptions(const Packet& packet, uint16_t at, uint16_t end, ParsedPacket& parsed) {
  // What nearly every segment of an established connection carries: NOP, NOP, timestamps.
  static constexpr uint8_t kUsual[4] = {kTcpOptionNop, kTcpOptionNop, kTcpOptionTimestamps, 10};
  if (end - at == 12 && std::memcmp(packet.data + at, kUsual, sizeof kUsual) == 0) {
    parsed.timestamps_offset = static_cast<uint16_t>(at + 2);
    return true;
  }
  while (at < end) {
    const uint8_t* option = packet.data + at;
    if (option[0] == kTcpOptionEnd) return true;
    if (option[0] == kTcpOptionNop) {
      ++at;
      continue;
    }
    if (end - at < 2 || option[1] < 2 || option[1] > end - at) return false;
    NoteTcpOption(parsed, option, at);
    at = static_cast<uint16_t>(at + option[1]);
  }
  return true;
}

constexpr bool HasRemarkableOptions(const ParsedPacket& parsed) {
  return parsed.has_other_options || parsed.sack_offset != 0;
}

constexpr bool ArePossibleTcpFlags(uint8_t flags) {
  const uint8_t relevant = flags & (kTcpFin | kTcpSyn | kTcpRst | kTcpAck);
  if (relevant == 0) return false;
  if (relevant & kTcpSyn) return (relevant & (kTcpFin | kTcpRst)) == 0;
  if (relevant & kTcpRst) return (relevant & kTcpFin) == 0;
  return (relevant & kTcpAck) != 0;
}

// A bit for each combination of the lowest five flags.
constexpr uint32_t kPossibleTcpFlags = [] {
  uint32_t possible = 0;
  for (uint8_t flags = 0; flags < 32; ++flags)
    if (ArePossibleTcpFlags(flags)) possible |= 1u << flags;
  return possible;
}();

// --- layer 4 -----------------------------------------------------------------------------------

[[gnu::noinline]] void TakeTcpOptions(const Packet& packet, ParsedPacket& parsed) {
  const auto options = static_cast<uint16_t>(parsed.l4_offset + sizeof(TcpHeader));
  if (!ParseTcpOptions(packet, options, parsed.payload_offset, parsed))
    return Malformed(parsed, Verdict::kMalformedTcp);
  if (HasRemarkableOptions(parsed)) parsed.is_plain = false;
}

template <typename Key>
[[gnu::always_inline]] inline void ParseTcp(const Packet& packet, ParsedPacket& parsed, Key& key) {
  const size_t available = parsed.l3_end - parsed.l4_offset;
  if (available < sizeof(TcpHeader)) return Malformed(parsed, Verdict::kMalformedTcp);
  const auto& tcp = HeaderAt<TcpHeader>(packet, parsed.l4_offset);
  const size_t header_bytes = tcp.header_bytes();
  if (header_bytes < sizeof(TcpHeader) || header_bytes > available ||
      (kPossibleTcpFlags >> (tcp.flags & 31) & 1) == 0)
    return Malformed(parsed, Verdict::kMalformedTcp);
  parsed.tcp_flags = tcp.flags;
  parsed.payload_offset = static_cast<uint16_t>(parsed.l4_offset + header_bytes);
  key.source_port = tcp.source_port;
  key.destination_port = tcp.destination_port;
  parsed.packet_class = PacketClass::kFlow;
  parsed.is_plain = (tcp.flags & (kTcpFin | kTcpSyn | kTcpRst)) == 0;
  if (header_bytes != sizeof(TcpHeader)) TakeTcpOptions(packet, parsed);
}

template <typename Key>
[[gnu::noinline]] void ParseUdp(const Packet& packet, ParsedPacket& parsed, Key& key) {
  const size_t available = parsed.l3_end - parsed.l4_offset;
  if (available < sizeof(UdpHeader)) return Malformed(parsed, Verdict::kMalformedUdp);
  const auto& udp = HeaderAt<UdpHeader>(packet, parsed.l4_offset);
  if (udp.length.value() < sizeof(UdpHeader) || udp.length.value() > available)
    return Malformed(parsed, Verdict::kMalformedUdp);
  // No service takes it (RFC 8200 section 8.1); the kernel may have a tunnel that does (RFC 6935).
  if (parsed.family == Family::kIpv6 && udp.checksum.raw() == 0) return;
  parsed.payload_offset = static_cast<uint16_t>(parsed.l4_offset + sizeof(UdpHeader));
  key.source_port = udp.source_port;
  key.destination_port = udp.destination_port;
  parsed.is_plain = true;
  parsed.packet_class = PacketClass::kFlow;
}

bool IsEcho(Family family, const IcmpEchoHeader& echo) {
  if (echo.code != 0) return false;
  return family == Family::kIpv4 ? echo.type == kIcmpv4EchoRequest || echo.type == kIcmpv4EchoReply
                                 : echo.type == kIcmpv6EchoRequest || echo.type == kIcmpv6EchoReply;
}

template <typename Key>
void SetEchoPorts(const IcmpEchoHeader& echo, Key& key) {
  (IsEchoRequest(echo.type) ? key.source_port : key.destination_port) = echo.identifier;
}

// --- IPv6 extension headers ---------------------------------------------------------------------

enum class ChainEnd { kUpperLayer, kFragment, kPunt, kBroken };

// Walks the extension headers; `next_header` and `offset` end up at what stands behind them.
ChainEnd WalkExtensionHeaders(const Packet& packet, size_t end, uint8_t& next_header,
                              size_t& offset) {
  for (int count = 0; count < kMaxExtensionHeaders; ++count) {
    const bool first = count == 0;
    switch (next_header) {
      case kIpv6HopByHop:
        if (!first) return ChainEnd::kBroken;
        break;
      case kIpv6DestinationOptions:
        break;
      case kIpv6Routing:
        break;
      case kIpv6Fragment:
        break;
      case kIpv6NoNextHeader:
        return ChainEnd::kPunt;
      default:
        return ChainEnd::kUpperLayer;
    }
    if (end - offset < 8) return ChainEnd::kBroken;
    const uint8_t* header = packet.data + offset;
    if (next_header == kIpv6Fragment) {
      const auto& fragment = HeaderAt<Ipv6FragmentHeader>(packet, offset);
      next_header = fragment.next_header;
      offset += sizeof(Ipv6FragmentHeader);
      if (fragment.is_fragment()) return ChainEnd::kFragment;
      continue;
    }
    const size_t header_bytes = (header[1] + 1u) * 8u;
    if (header_bytes > end - offset) return ChainEnd::kBroken;
    if (next_header == kIpv6Routing) {
      if (header[2] == 0) return ChainEnd::kBroken;  // type 0: RFC 5095
      if (header[3] != 0) return ChainEnd::kPunt;    // segments left: not at its destination yet
    }
    next_header = header[0];
    offset += header_bytes;
  }
  return ChainEnd::kBroken;
}

// Of the chain that ended with a fragment header just before `offset`.
bool IsFirstFragment(const Packet& packet, size_t offset) {
  const auto& fragment = HeaderAt<Ipv6FragmentHeader>(packet, offset - sizeof(Ipv6FragmentHeader));
  return (fragment.offset_and_more.value() & 0xfff8) == 0;
}

// --- ICMP errors -------------------------------------------------------------------------------

// Only of a header that is quoted whole.
void ParseQuotedTcpOptions(const Packet& packet, ParsedPacket& parsed) {
  const size_t available = parsed.l3_end - parsed.quoted_l4_offset;
  if (available < sizeof(TcpHeader)) return;
  const size_t header_bytes = HeaderAt<TcpHeader>(packet, parsed.quoted_l4_offset).header_bytes();
  if (header_bytes < sizeof(TcpHeader) || header_bytes > available) return;
  const auto begin = static_cast<uint16_t>(parsed.quoted_l4_offset + sizeof(TcpHeader));
  const auto end = static_cast<uint16_t>(parsed.quoted_l4_offset + header_bytes);
  if (!ParseTcpOptions(packet, begin, end, parsed))
    parsed.timestamps_offset = parsed.sack_offset = parsed.mss_offset = 0;
}

template <typename Protocol>
bool IsTunnel(Protocol protocol) {
  constexpr uint8_t kIpv4InIp = 4, kIpv6InIp = 41;
  return static_cast<uint8_t>(protocol) == kIpv4InIp || static_cast<uint8_t>(protocol) == kIpv6InIp;
}

// The protocols whose packets make flows.
bool IsFlowProtocol(Family family, L4Protocol protocol) {
  return protocol == L4Protocol::kTcp || protocol == L4Protocol::kUdp ||
         protocol == (family == Family::kIpv4 ? L4Protocol::kIcmp : L4Protocol::kIcmpv6);
}

// Ports are the first four bytes of both TCP and UDP; RFC 792 promises eight bytes of them.
template <typename Key>
bool TakeQuotedPorts(const Packet& packet, ParsedPacket& parsed, Key& key) {
  if (!IsFlowProtocol(parsed.family, key.protocol)) return false;
  if (parsed.l3_end - parsed.quoted_l4_offset < 8) return false;
  if (IsIcmp(key.protocol)) {
    const auto& echo = HeaderAt<IcmpEchoHeader>(packet, parsed.quoted_l4_offset);
    if (!IsEcho(parsed.family, echo)) return false;
    SetEchoPorts(echo, key);
    return true;
  }
  const auto& ports = HeaderAt<UdpHeader>(packet, parsed.quoted_l4_offset);
  key.source_port = ports.source_port;
  key.destination_port = ports.destination_port;
  if (key.protocol == L4Protocol::kTcp) ParseQuotedTcpOptions(packet, parsed);
  return true;
}

bool ParseQuotedIpv4(const Packet& packet, ParsedPacket& parsed) {
  const size_t available = parsed.l3_end - parsed.quoted_l3_offset;
  if (available < sizeof(Ipv4Header)) return false;
  const auto& ip = HeaderAt<Ipv4Header>(packet, parsed.quoted_l3_offset);
  if (ip.version() != 4 || ip.header_bytes() < sizeof(Ipv4Header) ||
      ip.header_bytes() > available || (ip.flags_and_offset.value() & 0x1fff) != 0)
    return false;
  parsed.quoted_l4_offset = static_cast<uint16_t>(parsed.quoted_l3_offset + ip.header_bytes());
  parsed.v4.source = ip.source;
  parsed.v4.destination = ip.destination;
  parsed.v4.protocol = static_cast<L4Protocol>(ip.protocol);
  return TakeQuotedPorts(packet, parsed, parsed.v4);
}

bool ParseQuotedIpv6(const Packet& packet, ParsedPacket& parsed) {
  const size_t available = parsed.l3_end - parsed.quoted_l3_offset;
  if (available < sizeof(Ipv6Header)) return false;
  const auto& ip = HeaderAt<Ipv6Header>(packet, parsed.quoted_l3_offset);
  if (ip.version() != 6) return false;
  uint8_t next_header = ip.next_header;
  size_t offset = parsed.quoted_l3_offset + sizeof(Ipv6Header);
  const ChainEnd chain_end = WalkExtensionHeaders(packet, parsed.l3_end, next_header, offset);
  if (chain_end != ChainEnd::kUpperLayer &&
      (chain_end != ChainEnd::kFragment || !IsFirstFragment(packet, offset)))
    return false;
  parsed.quoted_l4_offset = static_cast<uint16_t>(offset);
  parsed.v6.source = ip.source;
  parsed.v6.destination = ip.destination;
  parsed.v6.protocol = static_cast<L4Protocol>(next_header);
  return TakeQuotedPorts(packet, parsed, parsed.v6);
}

bool IsTranslatedError(Family family, uint8_t type) {
  if (family == Family::kIpv6)
    return type >= kIcmpv6DestinationUnreachable && type <= kIcmpv6ParameterProblem;
  return type == kIcmpv4DestinationUnreachable || type == kIcmpv4TimeExceeded ||
         type == kIcmpv4ParameterProblem;
}

template <typename Key>
[[gnu::noinline]] void ParseIcmp(const Packet& packet, ParsedPacket& parsed, Key& key) {
  const size_t available = parsed.l3_end - parsed.l4_offset;
  if (available < sizeof(IcmpErrorHeader)) {
    if (available < 4) Malformed(parsed, Verdict::kMalformedIcmp);
    return;
  }
  parsed.payload_offset = static_cast<uint16_t>(parsed.l4_offset + sizeof(IcmpErrorHeader));
  const auto& echo = HeaderAt<IcmpEchoHeader>(packet, parsed.l4_offset);
  if (IsEcho(parsed.family, echo)) {
    SetEchoPorts(echo, key);
    parsed.packet_class = PacketClass::kFlow;
    return;
  }
  const auto& icmp = HeaderAt<IcmpErrorHeader>(packet, parsed.l4_offset);
  if (!IsTranslatedError(parsed.family, icmp.type)) return;
  parsed.quoted_l3_offset = parsed.payload_offset;
  const bool quotes_a_flow = parsed.family == Family::kIpv4 ? ParseQuotedIpv4(packet, parsed)
                                                            : ParseQuotedIpv6(packet, parsed);
  if (quotes_a_flow)
    parsed.packet_class = PacketClass::kIcmpError;
  else if (parsed.quoted_l4_offset != 0 && IsTunnel(parsed.protocol()))
    parsed.packet_class = PacketClass::kTunnelError;
}

// --- layer 3 -----------------------------------------------------------------------------------

enum class OptionsVerdict { kFine, kSourceRoute, kBroken };

OptionsVerdict CheckIpv4Options(const uint8_t* at, const uint8_t* end) {
  constexpr uint8_t kEnd = 0, kNop = 1, kLooseSourceRoute = 131, kStrictSourceRoute = 137;
  while (at < end) {
    if (*at == kEnd) return OptionsVerdict::kFine;
    if (*at == kNop) {
      ++at;
      continue;
    }
    if (end - at < 2 || at[1] < 2 || at[1] > end - at) return OptionsVerdict::kBroken;
    if (*at == kLooseSourceRoute || *at == kStrictSourceRoute) return OptionsVerdict::kSourceRoute;
    at += at[1];
  }
  return OptionsVerdict::kFine;
}

// Behind a header that was found to be right. Inline: without options, its length is a constant.
[[gnu::always_inline]] inline void ParseIpv4Payload(const Packet& packet, PacketOrigin origin,
                                                    size_t header_bytes, size_t total_bytes,
                                                    ParsedPacket& parsed) {
  const auto& ip = HeaderAt<Ipv4Header>(packet, kL3Offset);
  parsed.family = Family::kIpv4;
  parsed.l4_offset = static_cast<uint16_t>(kL3Offset + header_bytes);
  parsed.l3_end = static_cast<uint16_t>(kL3Offset + total_bytes);
  if (origin == PacketOrigin::kWire && IsMartian(ip.source, ip.destination)) return;
  parsed.v4 = {ip.source, ip.destination, {}, {}, static_cast<L4Protocol>(ip.protocol)};
  if (ip.is_fragment()) [[unlikely]] {
    if (IsFlowProtocol(parsed.family, parsed.v4.protocol))
      parsed.packet_class = PacketClass::kFragment;
    return;
  }
  if (parsed.v4.protocol == L4Protocol::kTcp) return ParseTcp(packet, parsed, parsed.v4);
  if (parsed.v4.protocol == L4Protocol::kUdp) return ParseUdp(packet, parsed, parsed.v4);
  if (parsed.v4.protocol == L4Protocol::kIcmp) return ParseIcmp(packet, parsed, parsed.v4);
}

// Of any length.
[[gnu::noinline]] void ParseAnyIpv4(const Packet& packet, PacketOrigin origin,
                                    ParsedPacket& parsed) {
  const size_t available = packet.length - kL3Offset;
  const auto& ip = HeaderAt<Ipv4Header>(packet, kL3Offset);
  const size_t header_bytes = ip.header_bytes();
  const size_t total_bytes = ip.total_length.value();
  if (ip.version() != 4 || header_bytes < sizeof(Ipv4Header) || total_bytes < header_bytes ||
      total_bytes > available || FoldSum(SumBytes(&ip, header_bytes)) != 0xffff)
    return Malformed(parsed, Verdict::kMalformedIpv4);
  const auto* options = packet.data + kL3Offset + sizeof(Ipv4Header);
  const auto outcome = CheckIpv4Options(options, packet.data + kL3Offset + header_bytes);
  if (outcome == OptionsVerdict::kBroken) return Malformed(parsed, Verdict::kMalformedIpv4);
  if (outcome == OptionsVerdict::kSourceRoute) return;
  ParseIpv4Payload(packet, origin, header_bytes, total_bytes, parsed);
}

void ParseIpv4(const Packet& packet, PacketOrigin origin, ParsedPacket& parsed) {
  const size_t available = packet.length - kL3Offset;
  if (available < sizeof(Ipv4Header)) return Malformed(parsed, Verdict::kMalformedIpv4);
  const auto& ip = HeaderAt<Ipv4Header>(packet, kL3Offset);
  constexpr uint8_t kWithoutOptions = 4 << 4 | sizeof(Ipv4Header) / 4;
  if (ip.version_and_length != kWithoutOptions) [[unlikely]]
    return ParseAnyIpv4(packet, origin, parsed);
  const size_t total_bytes = ip.total_length.value();
  if (total_bytes < sizeof ip || total_bytes > available || FoldSum(SumHeader(ip)) != 0xffff)
    return Malformed(parsed, Verdict::kMalformedIpv4);
  ParseIpv4Payload(packet, origin, sizeof ip, total_bytes, parsed);
}

[[gnu::noinline]] void ParseIpv6(const Packet& packet, PacketOrigin origin, ParsedPacket& parsed) {
  const size_t available = packet.length - kL3Offset;
  if (available < sizeof(Ipv6Header)) return Malformed(parsed, Verdict::kMalformedIpv6);
  const auto& ip = HeaderAt<Ipv6Header>(packet, kL3Offset);
  if (ip.version() != 6 || ip.payload_length.value() > available - sizeof(Ipv6Header))
    return Malformed(parsed, Verdict::kMalformedIpv6);
  const size_t end = kL3Offset + sizeof(Ipv6Header) + ip.payload_length.value();
  uint8_t next_header = ip.next_header;
  size_t offset = kL3Offset + sizeof(Ipv6Header);
  const ChainEnd chain_end = WalkExtensionHeaders(packet, end, next_header, offset);
  if (chain_end == ChainEnd::kBroken) return Malformed(parsed, Verdict::kMalformedIpv6);
  parsed.family = Family::kIpv6;
  parsed.l4_offset = static_cast<uint16_t>(offset);
  parsed.l3_end = static_cast<uint16_t>(end);
  if (chain_end == ChainEnd::kPunt) return;
  if (origin == PacketOrigin::kWire && IsMartian(ip.source, ip.destination)) return;
  parsed.v6 = {ip.source, ip.destination, {}, {}, static_cast<L4Protocol>(next_header)};
  if (chain_end == ChainEnd::kFragment) {
    if (IsFlowProtocol(parsed.family, parsed.v6.protocol))
      parsed.packet_class = PacketClass::kFragment;
    return;
  }
  if (parsed.v6.protocol == L4Protocol::kTcp) return ParseTcp(packet, parsed, parsed.v6);
  if (parsed.v6.protocol == L4Protocol::kUdp) return ParseUdp(packet, parsed, parsed.v6);
  if (parsed.v6.protocol == L4Protocol::kIcmpv6) return ParseIcmp(packet, parsed, parsed.v6);
}

}  // namespace

// What is not met with every packet is the last call on its way, so that the usual one saves no
// registers for it.
void ParsePacket(const Packet& packet, const MacAddress& port_mac, PacketOrigin origin,
                 ParsedPacket& parsed) {
  new (&parsed) ParsedPacket();
  if (packet.length < sizeof(EthernetHeader)) return Malformed(parsed, Verdict::kMalformedEthernet);
  const auto& ethernet = HeaderAt<EthernetHeader>(packet, 0);
  // Offsets are 16 bits; no port of ours has frames near that.
  if (ethernet.destination != port_mac || packet.length > UINT16_MAX) return;
  if (ethernet.ether_type == kEtherTypeIpv4) return ParseIpv4(packet, origin, parsed);
  if (ethernet.ether_type == kEtherTypeIpv6) return ParseIpv6(packet, origin, parsed);
}

std::optional<FlowKey> QuotedInnerFlow(const Packet& packet, const ParsedPacket& parsed,
                                       size_t offset) {
  const size_t at = parsed.quoted_l4_offset + offset;
  const size_t available = at < parsed.l3_end ? parsed.l3_end - at : 0;
  constexpr size_t kPortsBytes = 4;
  if (available < sizeof(Ipv4Header) + kPortsBytes) return std::nullopt;
  const auto& v4 = HeaderAt<Ipv4Header>(packet, at);
  if (v4.version() == 4 && v4.header_bytes() >= sizeof(Ipv4Header) && !v4.is_fragment() &&
      v4.header_bytes() + kPortsBytes <= available) {
    const auto& ports = HeaderAt<UdpHeader>(packet, at + v4.header_bytes());
    return FlowKey(FlowKey4{v4.source, v4.destination, ports.source_port, ports.destination_port,
                            static_cast<L4Protocol>(v4.protocol)});
  }
  const auto& v6 = HeaderAt<Ipv6Header>(packet, at);
  if (v4.version() != 6 || available < sizeof(Ipv6Header) + kPortsBytes) return std::nullopt;
  const auto& ports = HeaderAt<UdpHeader>(packet, at + sizeof(Ipv6Header));
  return FlowKey(FlowKey6{v6.source, v6.destination, ports.source_port, ports.destination_port,
                          static_cast<L4Protocol>(v6.next_header)});
}

const uint8_t* TcpOptionWalker::Next() {
  while (at_ < end_ && *at_ == kTcpOptionNop) ++at_;
  if (at_ >= end_ || *at_ == kTcpOptionEnd) return nullptr;
  const uint8_t* option = at_;
  at_ += option[1];
  return option;
}

}  // namespace steelyard::net
