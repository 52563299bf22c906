// SPDX-License-Identifier: Apache-2.0
#include "packet/packet_builder.h"

#include <algorithm>

namespace steelyard::test {

using net::IpAddress;

IpAddress Address(const char* text) {
  return *net::ParseIpAddress(text);
}
net::Endpoint Host(const char* text, uint16_t port) {
  return {Address(text), net::Be16(port)};
}

void Put8(Bytes& bytes, uint8_t value) {
  bytes.push_back(value);
}
void Put16(Bytes& bytes, uint16_t value) {
  Put8(bytes, static_cast<uint8_t>(value >> 8));
  Put8(bytes, static_cast<uint8_t>(value));
}
void Put32(Bytes& bytes, uint32_t value) {
  Put16(bytes, static_cast<uint16_t>(value >> 16));
  Put16(bytes, static_cast<uint16_t>(value));
}
void Put(Bytes& bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}
void Put(Bytes& bytes, const IpAddress& address) {
  const auto& all = address.v6().bytes;
  bytes.insert(bytes.end(), all.begin() + (address.is_v4() ? 12 : 0), all.end());
}
uint16_t Get16(const Bytes& bytes, size_t at) {
  return static_cast<uint16_t>(bytes.at(at) << 8 | bytes.at(at + 1));
}
uint32_t Get32(const Bytes& bytes, size_t at) {
  return uint32_t{Get16(bytes, at)} << 16 | Get16(bytes, at + 2);
}
void Set16(Bytes& bytes, size_t at, uint16_t value) {
  bytes.at(at) = static_cast<uint8_t>(value >> 8);
  bytes.at(at + 1) = static_cast<uint8_t>(value);
}
void Set32(Bytes& bytes, size_t at, uint32_t value) {
  Set16(bytes, at, static_cast<uint16_t>(value >> 16));
  Set16(bytes, at + 2, static_cast<uint16_t>(value));
}

uint16_t OnesSum(const Bytes& bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2)
    sum += static_cast<uint64_t>(bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0));
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

Bytes PseudoHeader(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                   uint32_t l4_bytes) {
  Bytes header;
  Put(header, source);
  Put(header, destination);
  Put32(header, l4_bytes);
  Put32(header, protocol);
  return header;
}

Bytes Slice(const Bytes& bytes, size_t begin, size_t end) {
  return Bytes(bytes.begin() + static_cast<long>(begin), bytes.begin() + static_cast<long>(end));
}
Bytes Concat(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) Put(all, part);
  return all;
}
Bytes Pattern(size_t length, uint8_t seed) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<uint8_t>(seed + 7 * i + i / 251);
  return bytes;
}

// --- building ----------------------------------------------------------------------------------

namespace {

constexpr uint8_t kTcp = 6, kUdp = 17, kIcmpv4 = 1, kIcmpv6 = 58;

uint16_t ChecksumOver(const Bytes& pseudo_header, const Bytes& l4) {
  return static_cast<uint16_t>(~OnesSum(Concat({pseudo_header, l4})));
}

}  // namespace

Bytes Ethernet(uint16_t ether_type, const Bytes& payload, const net::MacAddress& destination) {
  Bytes frame(destination.bytes.begin(), destination.bytes.end());
  frame.insert(frame.end(), kSomeMac.bytes.begin(), kSomeMac.bytes.end());
  Put16(frame, ether_type);
  Put(frame, payload);
  return frame;
}

Bytes Frame(const Bytes& ip_packet, const net::MacAddress& destination) {
  return Ethernet(ip_packet.at(0) >> 4 == 6 ? 0x86dd : 0x0800, ip_packet, destination);
}

Bytes Ip(const IpAddress& source, const IpAddress& destination, uint8_t protocol, const Bytes& l4,
         const IpFields& fields) {
  Bytes ip;
  if (source.is_v4()) {
    Bytes options = fields.options;
    options.resize((options.size() + 3) / 4 * 4);
    const size_t header_bytes = 20 + options.size();
    Put8(ip, static_cast<uint8_t>(0x40 | header_bytes / 4));
    Put8(ip, fields.dscp_and_ecn);
    Put16(ip, static_cast<uint16_t>(header_bytes + l4.size()));
    Put16(ip, fields.identification);
    Put16(ip, fields.flags_and_offset);
    Put8(ip, fields.ttl);
    Put8(ip, protocol);
    Put16(ip, 0);
    Put(ip, source);
    Put(ip, destination);
    Put(ip, options);
    Set16(ip, 10, static_cast<uint16_t>(~OnesSum(ip)));
  } else {
    Put32(ip, 6u << 28 | uint32_t{fields.dscp_and_ecn} << 20 | 0x54321);
    Put16(ip, static_cast<uint16_t>(fields.extensions.size() + l4.size()));
    Put8(ip, fields.extensions.empty() ? protocol : fields.first_extension);
    Put8(ip, fields.ttl);
    Put(ip, source);
    Put(ip, destination);
    Put(ip, fields.extensions);
  }
  Put(ip, l4);
  return ip;
}

void FixIpv4Checksum(Bytes& frame) {
  const size_t header_bytes = std::min<size_t>((frame.at(14) & 0xf) * 4u, frame.size() - 14);
  Set16(frame, 24, 0);
  Set16(frame, 24, static_cast<uint16_t>(~OnesSum(Slice(frame, 14, 14 + header_bytes))));
}

void FixChecksums(Bytes& frame) {
  const bool is_v4 = Get16(frame, 12) == 0x0800;
  if (is_v4) FixIpv4Checksum(frame);
  const Seen seen = Dissect(frame);
  const size_t l3_end = 14 + seen.l3_bytes;
  const size_t l4 = l3_end - seen.l4.size();
  const size_t at = l4 + (seen.protocol == kTcp ? 16u : seen.protocol == kUdp ? 6u : 2u);
  Set16(frame, at, 0);
  const Bytes pseudo_header = seen.protocol == kIcmpv4
                                  ? Bytes{}
                                  : PseudoHeader(seen.source.address, seen.destination.address,
                                                 seen.protocol, static_cast<uint32_t>(l3_end - l4));
  Set16(frame, at, ChecksumOver(pseudo_header, Slice(frame, l4, l3_end)));
}

Bytes Tcp(const Segment& segment) {
  Bytes options = segment.options;
  while (options.size() % 4 != 0) options.push_back(net::kTcpOptionNop);
  Bytes tcp;
  Put16(tcp, segment.source.port.value());
  Put16(tcp, segment.destination.port.value());
  Put32(tcp, segment.sequence);
  Put32(tcp, segment.acknowledgment);
  Put8(tcp, static_cast<uint8_t>((20 + options.size()) / 4 << 4));
  Put8(tcp, segment.flags);
  Put16(tcp, segment.window);
  Put32(tcp, 0);
  Put(tcp, options);
  Put(tcp, segment.payload);
  Set16(tcp, 16,
        ChecksumOver(PseudoHeader(segment.source.address, segment.destination.address, kTcp,
                                  static_cast<uint32_t>(tcp.size())),
                     tcp));
  return tcp;
}

Bytes TcpFrame(const Segment& segment, const IpFields& fields) {
  return Frame(Ip(segment.source.address, segment.destination.address, kTcp, Tcp(segment), fields));
}

Bytes Udp(const Datagram& datagram) {
  Bytes udp;
  Put16(udp, datagram.source.port.value());
  Put16(udp, datagram.destination.port.value());
  Put16(udp, static_cast<uint16_t>(8 + datagram.payload.size()));
  Put16(udp, 0);
  Put(udp, datagram.payload);
  if (datagram.without_checksum) return udp;
  const uint16_t checksum =
      ChecksumOver(PseudoHeader(datagram.source.address, datagram.destination.address, kUdp,
                                static_cast<uint32_t>(udp.size())),
                   udp);
  Set16(udp, 6, checksum != 0 ? checksum : 0xffff);
  return udp;
}

Bytes UdpFrame(const Datagram& datagram, const IpFields& fields) {
  return Frame(
      Ip(datagram.source.address, datagram.destination.address, kUdp, Udp(datagram), fields));
}

Bytes Icmp(const IpAddress& source, const IpAddress& destination, uint8_t type, uint8_t code,
           uint32_t rest, const Bytes& quoted) {
  Bytes icmp{type, code, 0, 0};
  Put32(icmp, rest);
  Put(icmp, quoted);
  const Bytes pseudo_header = source.is_v4() ? Bytes{}
                                             : PseudoHeader(source, destination, kIcmpv6,
                                                            static_cast<uint32_t>(icmp.size()));
  Set16(icmp, 2, ChecksumOver(pseudo_header, icmp));
  return icmp;
}

Bytes IcmpFrame(const IpAddress& source, const IpAddress& destination, uint8_t type, uint8_t code,
                uint32_t rest, const Bytes& quoted, const IpFields& fields) {
  return Frame(Ip(source, destination, source.is_v4() ? kIcmpv4 : kIcmpv6,
                  Icmp(source, destination, type, code, rest, quoted), fields));
}

// --- fragments ---------------------------------------------------------------------------------

namespace {

bool IsIpv4(const Bytes& frame) {
  return Get16(frame, 12) == 0x0800;
}

// Where the part that every fragment repeats ends; IPv6: where the fragment header stands.
size_t RepeatedEnd(const Bytes& frame) {
  if (IsIpv4(frame)) return 14 + (frame.at(14) & 0xfu) * 4;
  return frame.at(20) == 0 ? 54 + (frame.at(55) + 1u) * 8 : 54;
}

size_t NextHeaderOffset(const Bytes& frame) {
  return frame.at(20) == 0 ? 54 : 20;
}

size_t PacketEnd(const Bytes& frame) {
  return IsIpv4(frame) ? 14u + Get16(frame, 16) : 54u + Get16(frame, 18);
}

void SetIpLength(Bytes& frame) {
  if (IsIpv4(frame)) {
    Set16(frame, 16, static_cast<uint16_t>(frame.size() - 14));
    FixIpv4Checksum(frame);
  } else {
    Set16(frame, 18, static_cast<uint16_t>(frame.size() - 54));
  }
}

struct Piece {
  size_t begin;
  bool more_follow;
  Bytes payload;
};

Piece PieceOf(const Bytes& fragment) {
  const size_t header = RepeatedEnd(fragment);
  if (IsIpv4(fragment)) {
    const uint16_t word = Get16(fragment, 20);
    return {(word & 0x1fffu) * 8, (word & 0x2000) != 0,
            Slice(fragment, header, PacketEnd(fragment))};
  }
  const uint16_t word = Get16(fragment, header + 2);
  return {word & 0xfff8u, (word & 1) != 0, Slice(fragment, header + 8, PacketEnd(fragment))};
}

}  // namespace

size_t FragmentableBytes(const Bytes& frame) {
  return PacketEnd(frame) - RepeatedEnd(frame);
}

Bytes Fragment(const Bytes& frame, size_t begin, size_t end, bool more_follow,
               uint32_t identification) {
  const size_t header = RepeatedEnd(frame);
  Bytes fragment = Slice(frame, 0, header);
  if (IsIpv4(frame)) {
    Set16(fragment, 18, static_cast<uint16_t>(identification));
    Set16(fragment, 20, static_cast<uint16_t>(begin / 8 | (more_follow ? 0x2000 : 0)));
  } else {
    const size_t next_header = NextHeaderOffset(frame);
    Put8(fragment, frame[next_header]);
    Put8(fragment, 0);
    Put16(fragment, static_cast<uint16_t>(begin | (more_follow ? 1 : 0)));
    Put32(fragment, identification);
    fragment[next_header] = net::kIpv6Fragment;
  }
  Put(fragment, Slice(frame, header + begin, header + end));
  SetIpLength(fragment);
  return fragment;
}

std::vector<Bytes> Fragments(const Bytes& frame, const std::vector<size_t>& cuts,
                             uint32_t identification) {
  std::vector<Bytes> fragments;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    fragments.push_back(Fragment(frame, begin, cut, true, identification));
    begin = cut;
  }
  fragments.push_back(Fragment(frame, begin, FragmentableBytes(frame), false, identification));
  return fragments;
}

Bytes Defragmented(std::vector<Bytes> fragments) {
  std::sort(fragments.begin(), fragments.end(),
            [](const Bytes& a, const Bytes& b) { return PieceOf(a).begin < PieceOf(b).begin; });
  if (fragments.empty()) return {};
  const Bytes& first = fragments.front();
  const size_t header = RepeatedEnd(first);
  Bytes whole = Slice(first, 0, header);
  for (const Bytes& fragment : fragments) {
    const Piece piece = PieceOf(fragment);
    const bool is_last = &fragment == &fragments.back();
    if (piece.begin != whole.size() - header || piece.more_follow == is_last) return {};
    Put(whole, piece.payload);
  }
  if (IsIpv4(first))
    Set16(whole, 20, 0);
  else
    whole[NextHeaderOffset(first)] = first.at(header);
  SetIpLength(whole);
  return whole;
}

Bytes Nops(size_t count) {
  return Bytes(count, net::kTcpOptionNop);
}

Bytes MssOption(uint16_t mss) {
  Bytes option{net::kTcpOptionMss, 4};
  Put16(option, mss);
  return option;
}

Bytes TimestampsOption(uint32_t value, uint32_t echo) {
  Bytes option{net::kTcpOptionTimestamps, 10};
  Put32(option, value);
  Put32(option, echo);
  return option;
}

Bytes SackOption(const std::vector<std::pair<uint32_t, uint32_t>>& blocks) {
  Bytes option{net::kTcpOptionSack, static_cast<uint8_t>(2 + 8 * blocks.size())};
  for (const auto& [begin, end] : blocks) {
    Put32(option, begin);
    Put32(option, end);
  }
  return option;
}

Bytes ClientAddressOption(uint8_t kind, const net::Endpoint& client) {
  Bytes option{kind, static_cast<uint8_t>(client.address.is_v4() ? 8 : 20)};
  Put16(option, client.port.value());
  Put(option, client.address);
  return option;
}

Bytes ProxyHeader(const net::Endpoint& client, const net::Endpoint& vip, uint8_t protocol) {
  Bytes header{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21};
  const bool is_v4 = client.address.is_v4();
  Put8(header, static_cast<uint8_t>((is_v4 ? 0x10 : 0x20) + (protocol == kTcp ? 1 : 2)));
  Put16(header, is_v4 ? 12 : 36);
  Put(header, client.address);
  Put(header, vip.address);
  Put16(header, client.port.value());
  Put16(header, vip.port.value());
  return header;
}

// --- taking apart ------------------------------------------------------------------------------

namespace {

IpAddress AddressAt(const Bytes& bytes, size_t at, bool is_v4) {
  if (is_v4) return net::Ipv4Address{net::Be32(Get32(bytes, at))};
  net::Ipv6Address address;
  std::copy_n(bytes.begin() + static_cast<long>(at), 16, address.bytes.begin());
  return address;
}

void DissectTcp(Seen& seen) {
  if (seen.l4.size() < 20) return void(seen.trouble = "TCP header cut short");
  seen.source.port = net::Be16(Get16(seen.l4, 0));
  seen.destination.port = net::Be16(Get16(seen.l4, 2));
  seen.sequence = Get32(seen.l4, 4);
  seen.acknowledgment = Get32(seen.l4, 8);
  seen.header_bytes = (seen.l4[12] >> 4) * 4u;
  seen.flags = seen.l4[13];
  if (seen.header_bytes < 20 || seen.header_bytes > seen.l4.size())
    return void(seen.trouble = "TCP data offset");
  for (size_t at = 20; at < seen.header_bytes;) {
    if (seen.l4[at] == 0) break;
    if (seen.l4[at] == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= seen.header_bytes || seen.l4[at + 1] < 2 ||
        at + seen.l4[at + 1] > seen.header_bytes)
      return void(seen.trouble = "TCP options");
    const size_t end = at + seen.l4[at + 1];
    seen.options[seen.l4[at]] = Slice(seen.l4, at, end);
    at = end;
  }
  seen.payload = Slice(seen.l4, seen.header_bytes, seen.l4.size());
}

void DissectUdp(Seen& seen) {
  if (seen.l4.size() < 8) return void(seen.trouble = "UDP header cut short");
  seen.source.port = net::Be16(Get16(seen.l4, 0));
  seen.destination.port = net::Be16(Get16(seen.l4, 2));
  seen.udp_checksum = Get16(seen.l4, 6);
  if (Get16(seen.l4, 4) != seen.l4.size()) return void(seen.trouble = "UDP length");
  seen.payload = Slice(seen.l4, 8, seen.l4.size());
}

void DissectIcmp(Seen& seen) {
  if (seen.l4.size() < 8) return void(seen.trouble = "ICMP header cut short");
  seen.icmp_type = seen.l4[0];
  seen.icmp_code = seen.l4[1];
  seen.icmp_rest = Get32(seen.l4, 4);
  seen.quoted = Slice(seen.l4, 8, seen.l4.size());
}

void CheckL4Sum(Seen& seen) {
  constexpr uint8_t kIpv4InIp = 4, kIpv6InIp = 41;
  if (seen.protocol == kIpv4InIp || seen.protocol == kIpv6InIp) return;
  if (seen.protocol == kUdp && seen.udp_checksum == 0) {
    if (!seen.source.address.is_v4()) seen.trouble = "UDP over IPv6 without checksum";
    return;
  }
  const Bytes pseudo_header =
      seen.protocol == kIcmpv4 ? Bytes{}
                               : PseudoHeader(seen.source.address, seen.destination.address,
                                              seen.protocol, static_cast<uint32_t>(seen.l4.size()));
  if (OnesSum(Concat({pseudo_header, seen.l4})) != 0xffff) seen.trouble = "layer 4 checksum";
}

}  // namespace

Seen Dissect(const Bytes& frame) {
  Seen seen;
  if (frame.size() < 34) return seen.trouble = "too short", seen;
  std::copy_n(frame.begin(), 6, seen.destination_mac.bytes.begin());
  std::copy_n(frame.begin() + 6, 6, seen.source_mac.bytes.begin());
  const bool is_v4 = Get16(frame, 12) == 0x0800;
  if (!is_v4 && Get16(frame, 12) != 0x86dd) return seen.trouble = "neither IPv4 nor IPv6", seen;
  size_t l4;
  if (is_v4) {
    const size_t header_bytes = (frame[14] & 0xf) * 4u;
    seen.l3_bytes = Get16(frame, 16);
    l4 = 14 + header_bytes;
    if (header_bytes < 20 || seen.l3_bytes < header_bytes || 14 + seen.l3_bytes > frame.size())
      return seen.trouble = "IPv4 lengths", seen;
    if (OnesSum(Slice(frame, 14, l4)) != 0xffff) seen.trouble = "IPv4 checksum";
    seen.dscp_and_ecn = frame[15];
    seen.ttl = frame[22];
    seen.protocol = frame[23];
    seen.source.address = AddressAt(frame, 26, true);
    seen.destination.address = AddressAt(frame, 30, true);
  } else {
    if (frame.size() < 54) return seen.trouble = "too short for IPv6", seen;
    seen.l3_bytes = 40u + Get16(frame, 18);
    if (14 + seen.l3_bytes > frame.size()) return seen.trouble = "IPv6 payload length", seen;
    seen.dscp_and_ecn = static_cast<uint8_t>(Get32(frame, 14) >> 20);
    seen.protocol = frame[20];
    seen.ttl = frame[21];
    seen.source.address = AddressAt(frame, 22, false);
    seen.destination.address = AddressAt(frame, 38, false);
    l4 = 54;
    while (seen.protocol == 0 || seen.protocol == 43 || seen.protocol == 44 ||
           seen.protocol == 60) {
      if (l4 + 8 > 14 + seen.l3_bytes) return seen.trouble = "IPv6 extension headers", seen;
      const size_t bytes = seen.protocol == 44 ? 8 : (frame[l4 + 1] + 1u) * 8u;
      seen.protocol = frame[l4];
      l4 += bytes;
    }
  }
  if (l4 > 14 + seen.l3_bytes) return seen.trouble = "IP header lengths", seen;
  seen.l4 = Slice(frame, l4, 14 + seen.l3_bytes);
  if (seen.protocol == kTcp) DissectTcp(seen);
  if (seen.protocol == kUdp) DissectUdp(seen);
  if (seen.protocol == (is_v4 ? kIcmpv4 : kIcmpv6)) DissectIcmp(seen);
  if (seen.trouble.empty()) CheckL4Sum(seen);
  return seen;
}

// --- memory ------------------------------------------------------------------------------------

ExactBuffer::ExactBuffer(const Bytes& frame, uint32_t headroom) : memory_(headroom + frame.size()) {
  memory_.shrink_to_fit();
  std::copy(frame.begin(), frame.end(), memory_.begin() + headroom);
  packet_ = {memory_.data() + headroom, static_cast<uint32_t>(frame.size()), headroom};
}

Bytes BytesOf(const net::Packet& packet) {
  return Bytes(packet.data, packet.data + packet.length);
}

}  // namespace steelyard::test
