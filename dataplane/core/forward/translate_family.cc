// SPDX-License-Identifier: Apache-2.0
#include "core/forward/translate_family.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/icmp_answer.h"
#include "net/checksum.h"

namespace steelyard::core {

using net::Be16;
using net::Be32;
using net::Family;
using net::HeaderAt;
using net::IcmpErrorHeader;
using net::IpAddress;
using net::Ipv4Header;
using net::Ipv6Header;
using net::L4Protocol;
using net::Packet;
using net::ParsedPacket;
using net::Verdict;

namespace {

constexpr uint16_t kLargestWithoutDf = net::kLeastIpv6Mtu - kFamilyHeaderBytes;
constexpr uint16_t kDontFragment = 0x4000;

constexpr Family Other(Family family) {
  return family == Family::kIpv4 ? Family::kIpv6 : Family::kIpv4;
}
constexpr uint16_t IpHeaderBytes(Family family) {
  return family == Family::kIpv4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
}

// What the headers of both families say.
struct IpFields {
  uint8_t dscp_and_ecn;
  uint8_t ttl;
  L4Protocol protocol;
  uint16_t payload_bytes;  // behind options and extension headers
};

// Of the header at that offset; `header_bytes` with options and extension headers.
IpFields FieldsAt(const Packet& packet, size_t offset, size_t header_bytes, Family family,
                  L4Protocol protocol) {
  size_t datagram_bytes;
  IpFields fields{.protocol = protocol};
  if (family == Family::kIpv4) {
    const auto& ip = HeaderAt<Ipv4Header>(packet, offset);
    fields.dscp_and_ecn = ip.dscp_and_ecn;
    fields.ttl = ip.ttl;
    datagram_bytes = ip.total_length.value();
  } else {
    const auto& ip = HeaderAt<Ipv6Header>(packet, offset);
    fields.dscp_and_ecn = static_cast<uint8_t>(ip.version_class_flow.value() >> 20);
    fields.ttl = ip.hop_limit;
    datagram_bytes = sizeof ip + ip.payload_length.value();
  }
  // Of a quoted header nobody has checked the length.
  fields.payload_bytes =
      static_cast<uint16_t>(datagram_bytes < header_bytes ? 0 : datagram_bytes - header_bytes);
  return fields;
}

void WriteIpv4(const IpFields& fields, const IpAddress& source, const IpAddress& destination,
               uint16_t identification, Ipv4Header& ip) {
  const auto bytes = static_cast<uint16_t>(
      std::min<uint32_t>(uint32_t{fields.payload_bytes} + uint32_t{sizeof ip}, UINT16_MAX));
  ip = {};
  ip.version_and_length = 0x45;
  ip.dscp_and_ecn = fields.dscp_and_ecn;
  ip.total_length = Be16(bytes);
  ip.identification = Be16(identification);
  ip.flags_and_offset = Be16(bytes > kLargestWithoutDf ? kDontFragment : uint16_t{0});
  ip.ttl = fields.ttl;
  ip.protocol = static_cast<uint8_t>(fields.protocol);
  ip.source = source.v4();
  ip.destination = destination.v4();
  ip.checksum = net::ChecksumOf(net::SumBytes(&ip, sizeof ip));
}

void WriteIpv6(const IpFields& fields, const IpAddress& source, const IpAddress& destination,
               Ipv6Header& ip) {
  ip.version_class_flow = Be32(6u << 28 | uint32_t{fields.dscp_and_ecn} << 20);
  ip.payload_length = Be16(fields.payload_bytes);
  ip.next_header = static_cast<uint8_t>(fields.protocol);
  ip.hop_limit = fields.ttl;
  ip.source = source.v6();
  ip.destination = destination.v6();
}

void WriteIp(const IpFields& fields, const IpAddress& source, const IpAddress& destination,
             uint16_t identification, Packet& packet, size_t offset) {
  if (source.is_v4())
    WriteIpv4(fields, source, destination, identification, HeaderAt<Ipv4Header>(packet, offset));
  else
    WriteIpv6(fields, source, destination, HeaderAt<Ipv6Header>(packet, offset));
}

// Moves the beginning of the frame so that what stands behind has that much more in front of it.
void MoveFront(int bytes, Family family, ParsedPacket& parsed, Packet& packet) {
  constexpr size_t kMacBytes = 2 * sizeof(net::MacAddress);
  std::memmove(packet.data - bytes, packet.data, kMacBytes);
  packet.data -= bytes;
  packet.headroom = static_cast<uint32_t>(static_cast<int>(packet.headroom) - bytes);
  packet.length = static_cast<uint32_t>(static_cast<int>(packet.length) + bytes);
  HeaderAt<net::EthernetHeader>(packet, 0).ether_type =
      family == Family::kIpv4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6;
  for (uint16_t* offset : {&parsed.l4_offset, &parsed.payload_offset, &parsed.l3_end})
    *offset = static_cast<uint16_t>(*offset + bytes);
  for (uint16_t* offset : {&parsed.timestamps_offset, &parsed.sack_offset, &parsed.mss_offset})
    if (*offset != 0) *offset = static_cast<uint16_t>(*offset + bytes);
}

void SetKey(const net::Endpoint& source, const net::Endpoint& destination, L4Protocol protocol,
            ParsedPacket& parsed) {
  const net::FlowKey key(source, destination, protocol);
  parsed.family = source.address.family();
  if (key.is_v4())
    parsed.v4 = key.v4();
  else
    parsed.v6 = key.v6();
}

void FillInUdpChecksum(const ParsedPacket& parsed, Packet& packet) {
  auto& udp = HeaderAt<net::UdpHeader>(packet, parsed.l4_offset);
  if (udp.checksum.raw() != 0) return;
  const uint16_t bytes = udp.length.value();
  const auto sum =
      net::PseudoHeaderSum(parsed.v4.source, parsed.v4.destination, L4Protocol::kUdp, bytes);
  // No difference: as what is sent, where it is zero.
  udp.checksum = net::ChecksumDelta().ApplyToUdp(
      net::ChecksumOf(net::SumBytes(packet.data + parsed.l4_offset, bytes, sum)));
}

}  // namespace

int FamilyChangeBytes(const ParsedPacket& parsed) {
  return IpHeaderBytes(Other(parsed.family)) - (parsed.l4_offset - net::kL3Offset);
}

void ChangeFamily(const IpAddress& source, const IpAddress& destination, uint16_t identification,
                  ParsedPacket& parsed, Packet& packet) {
  const net::FlowKey key = parsed.key();
  const IpFields fields = FieldsAt(packet, net::kL3Offset, parsed.l4_offset - net::kL3Offset,
                                   parsed.family, key.protocol);
  if (key.is_v4() && key.protocol == L4Protocol::kUdp) FillInUdpChecksum(parsed, packet);
  MoveFront(FamilyChangeBytes(parsed), source.family(), parsed, packet);
  WriteIp(fields, source, destination, identification, packet, net::kL3Offset);
  SetKey({source, key.source.port}, {destination, key.destination.port}, key.protocol, parsed);
}

// --- ICMP errors -------------------------------------------------------------------------------

namespace {

// The second word of an ICMP error's header.
enum class Rest { kNothing, kPointer, kMtu };

struct ErrorMeaning {
  uint8_t from_type, from_code;
  uint8_t to_type, to_code;
  Rest rest = Rest::kNothing;
};

constexpr uint8_t kEveryCode = 0xff;  // kept as it is

// RFC 7915 section 4.2. What has no row has no counterpart.
constexpr ErrorMeaning kIcmpv4Errors[] = {
    {3, 0, 1, 0},
    {3, 1, 1, 0},
    {3, 2, 4, 1, Rest::kPointer},
    {3, 3, 1, 4},
    {3, 4, 2, 0, Rest::kMtu},
    {3, 5, 1, 0},
    {3, 6, 1, 0},
    {3, 7, 1, 0},
    {3, 8, 1, 0},
    {3, 9, 1, 1},
    {3, 10, 1, 1},
    {3, 11, 1, 0},
    {3, 12, 1, 0},
    {3, 13, 1, 1},
    {3, 15, 1, 1},
    {11, kEveryCode, 3, kEveryCode},
    {12, 0, 4, 0, Rest::kPointer},
    {12, 2, 4, 0, Rest::kPointer},
};
// RFC 7915 section 5.2.
constexpr ErrorMeaning kIcmpv6Errors[] = {
    {1, 0, 3, 1},
    {1, 1, 3, 10},
    {1, 2, 3, 1},
    {1, 3, 3, 1},
    {1, 4, 3, 3},
    {2, kEveryCode, 3, 4, Rest::kMtu},
    {3, kEveryCode, 11, kEveryCode},
    {4, 0, 12, 0, Rest::kPointer},
    {4, 1, 3, 2},
};

const ErrorMeaning* MeaningOf(Family family, const IcmpErrorHeader& icmp) {
  const auto find = [&](auto& rows) -> const ErrorMeaning* {
    for (const ErrorMeaning& row : rows)
      if (row.from_type == icmp.type && (row.from_code == icmp.code || row.from_code == kEveryCode))
        return &row;
    return nullptr;
  };
  return family == Family::kIpv4 ? find(kIcmpv4Errors) : find(kIcmpv6Errors);
}

constexpr uint8_t kNone = 0xff;
// Where a field of one header stands in the other (figures 3 and 6 of RFC 7915), by byte.
constexpr std::array<uint8_t, sizeof(Ipv4Header)> kPointersToIpv6 = {
    0, 1, 4, 4, kNone, kNone, kNone, kNone, 7, 6, kNone, kNone, 8, 8, 8, 8, 24, 24, 24, 24};
constexpr std::array<uint8_t, sizeof(Ipv6Header)> kPointersToIpv4 = {
    0,  1,  kNone, kNone, 2,  2,  9,  8,  12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
    12, 12, 12,    12,    16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16};

std::optional<uint8_t> TranslatedPointer(Family family, const IcmpErrorHeader& icmp) {
  constexpr uint8_t kIpv6NextHeaderOffset = 6;
  if (icmp.type == net::kIcmpv4DestinationUnreachable && family == Family::kIpv4)
    return kIpv6NextHeaderOffset;  // "protocol unreachable" points there without saying so
  const uint32_t pointer = family == Family::kIpv4
                               ? icmp.unused.value() >> 8
                               : uint32_t{icmp.unused.value()} << 16 | icmp.mtu.value();
  const auto find = [&](const auto& table) -> std::optional<uint8_t> {
    if (pointer >= table.size() || table[pointer] == kNone) return std::nullopt;
    return table[pointer];
  };
  return family == Family::kIpv4 ? find(kPointersToIpv6) : find(kPointersToIpv4);
}

// Of a router that tells none: RFC 1191 section 7.1.
uint16_t LikelyMtu(uint16_t datagram_bytes) {
  static constexpr uint16_t kPlateaus[] = {32000, 17914, 8166, 4352, 2002, 1492};
  for (const uint16_t plateau : kPlateaus)
    if (plateau < datagram_bytes) return plateau;
  return kLargestWithoutDf;
}

uint16_t TranslatedMtu(const IcmpErrorLimits& limits, const IpFields& quoted, Family family,
                       const IcmpErrorHeader& icmp) {
  uint16_t mtu = icmp.mtu.value();
  if (family == Family::kIpv6)
    mtu = icmp.unused.raw() != 0 ? uint16_t{UINT16_MAX} : std::max(mtu, net::kLeastIpv6Mtu);
  else if (mtu == 0)
    mtu = LikelyMtu(static_cast<uint16_t>(quoted.payload_bytes + sizeof(Ipv4Header)));
  const uint16_t for_sender = MtuForSender(Other(family), mtu, limits.added_bytes);
  return std::max(std::min(for_sender, limits.next_hop_mtu), net::LeastMtu(Other(family)));
}

std::optional<IcmpErrorHeader> TranslatedHeader(const IcmpErrorLimits& limits,
                                                const IpFields& quoted, Family family,
                                                const IcmpErrorHeader& icmp) {
  const ErrorMeaning* meaning = MeaningOf(family, icmp);
  if (meaning == nullptr) return std::nullopt;
  IcmpErrorHeader translated{};
  translated.type = meaning->to_type;
  translated.code = meaning->to_code == kEveryCode ? icmp.code : meaning->to_code;
  if (meaning->rest == Rest::kMtu)
    translated.mtu = Be16(TranslatedMtu(limits, quoted, family, icmp));
  if (meaning->rest != Rest::kPointer) return translated;
  const auto pointer = TranslatedPointer(family, icmp);
  if (!pointer) return std::nullopt;
  if (family == Family::kIpv4)
    translated.mtu = Be16(*pointer);
  else
    translated.unused = Be16(static_cast<uint16_t>(*pointer << 8));
  return translated;
}

// Behind the quote; before what is appended to it (RFC 4884 sections 4 and 5).
uint16_t EndOfQuote(const ParsedPacket& parsed, const IcmpErrorHeader& icmp) {
  const bool is_v4 = parsed.family == Family::kIpv4;
  const bool has_length = is_v4 || icmp.type == net::kIcmpv6DestinationUnreachable ||
                          icmp.type == net::kIcmpv6TimeExceeded;
  if (!has_length) return parsed.l3_end;
  const uint32_t bytes =
      is_v4 ? (icmp.unused.value() & 0xffu) * 4 : (icmp.unused.value() >> 8) * 8u;
  const uint32_t end = parsed.quoted_l3_offset + bytes;
  const bool is_possible = end >= parsed.quoted_l4_offset + net::kMaxTcpHeaderBytes;
  return is_possible && end < parsed.l3_end ? static_cast<uint16_t>(end) : parsed.l3_end;
}

void CutQuote(uint32_t end, ParsedPacket& parsed, Packet& packet) {
  if (end >= parsed.l3_end) return;
  parsed.l3_end = static_cast<uint16_t>(end);
  packet.length = end;
  if (parsed.quoted_l4_offset + net::kMaxTcpHeaderBytes > end)
    parsed.timestamps_offset = parsed.sack_offset = parsed.mss_offset = 0;
}

}  // namespace

Verdict ChangeIcmpErrorFamily(const IcmpErrorLimits& limits, uint16_t identification,
                              ParsedPacket& parsed, Packet& packet) {
  constexpr uint16_t kMostBytesIpv4 = 576, kMostBytesIpv6 = net::kLeastIpv6Mtu;
  const Family from = parsed.family, to = Other(from);
  const auto icmp = HeaderAt<IcmpErrorHeader>(packet, parsed.l4_offset);
  const net::FlowKey key = parsed.key();
  const IpFields quoted =
      FieldsAt(packet, parsed.quoted_l3_offset, parsed.quoted_l4_offset - parsed.quoted_l3_offset,
               from, key.protocol);
  const auto translated = TranslatedHeader(limits, quoted, from, icmp);
  if (!translated) return Verdict::kIcmpUntranslatable;
  const int quoted_l4_offset = net::kL3Offset + 2 * IpHeaderBytes(to) + int{sizeof icmp};
  const int front_bytes = quoted_l4_offset - parsed.quoted_l4_offset;
  if (front_bytes > static_cast<int>(packet.headroom)) return Verdict::kPacketTooBig;

  IpFields outer = FieldsAt(packet, net::kL3Offset, 0, from,
                            to == Family::kIpv4 ? L4Protocol::kIcmp : L4Protocol::kIcmpv6);
  CutQuote(EndOfQuote(parsed, icmp), parsed, packet);
  MoveFront(front_bytes, to, parsed, packet);
  parsed.l4_offset = static_cast<uint16_t>(net::kL3Offset + IpHeaderBytes(to));
  parsed.payload_offset = parsed.quoted_l3_offset =
      static_cast<uint16_t>(parsed.l4_offset + sizeof icmp);
  parsed.quoted_l4_offset = static_cast<uint16_t>(quoted_l4_offset);
  const uint16_t most_bytes = to == Family::kIpv4 ? kMostBytesIpv4 : kMostBytesIpv6;
  CutQuote(net::kL3Offset + std::min(most_bytes, limits.next_hop_mtu), parsed, packet);
  outer.payload_bytes = static_cast<uint16_t>(parsed.l3_end - parsed.l4_offset);

  const IpAddress nobody = to == Family::kIpv4 ? IpAddress(net::Ipv4Address{}) : IpAddress();
  WriteIp(outer, nobody, nobody, identification, packet, net::kL3Offset);
  WriteIp(quoted, nobody, nobody, 0, packet, parsed.quoted_l3_offset);
  HeaderAt<IcmpErrorHeader>(packet, parsed.l4_offset) = *translated;
  SetKey({nobody, key.source.port}, {nobody, key.destination.port}, key.protocol, parsed);
  return Verdict::kForwarded;
}

}  // namespace steelyard::core
