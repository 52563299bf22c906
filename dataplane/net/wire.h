// SPDX-License-Identifier: Apache-2.0
//
// Headers as they stand on the wire. Laid over packet bytes only after the parser has proved that they
// are there; every field is in network byte order by its type.
// Sources: IEEE 802.3, RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP), RFC 768 (UDP), RFC 792 and
// RFC 4443 (ICMP), RFC 1191 (next-hop MTU).
#pragma once

#include <cstddef>
#include <cstdint>

#include "net/address.h"
#include "net/byte_order.h"

namespace steelyard::net {

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  Be16 ether_type;
};
static_assert(sizeof(EthernetHeader) == 14);

inline constexpr Be16 kEtherTypeIpv4{0x0800};
inline constexpr Be16 kEtherTypeIpv6{0x86dd};

// What every link of the family carries: no MTU is smaller (RFC 791 section 3.2, RFC 8200 section
// 5).
constexpr uint16_t LeastMtu(Family family) {
  return family == Family::kIpv4 ? 68 : 1280;
}

struct Ipv4Header {
  uint8_t version_and_length;
  uint8_t dscp_and_ecn;
  Be16 total_length;
  Be16 identification;
  Be16 flags_and_offset;
  uint8_t ttl;
  uint8_t protocol;
  Be16 checksum;
  Ipv4Address source;
  Ipv4Address destination;

  int version() const { return version_and_length >> 4; }
  size_t header_bytes() const { return (version_and_length & 0xfu) * 4u; }
  bool dont_fragment() const { return (flags_and_offset.value() & 0x4000) != 0; }
  // More fragments follow, or this is not the first.
  bool is_fragment() const { return (flags_and_offset.value() & 0x3fff) != 0; }
};
static_assert(sizeof(Ipv4Header) == 20 && alignof(Ipv4Header) == 1);

struct Ipv6Header {
  Be32 version_class_flow;
  Be16 payload_length;
  uint8_t next_header;
  uint8_t hop_limit;
  Ipv6Address source;
  Ipv6Address destination;

  uint32_t version() const { return version_class_flow.value() >> 28; }
};
static_assert(sizeof(Ipv6Header) == 40 && alignof(Ipv6Header) == 1);

struct TcpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be32 sequence;
  Be32 acknowledgment;
  uint8_t data_offset_and_reserved;
  uint8_t flags;
  Be16 window;
  Be16 checksum;
  Be16 urgent;

  size_t header_bytes() const { return (data_offset_and_reserved >> 4) * 4u; }
};
static_assert(sizeof(TcpHeader) == 20 && alignof(TcpHeader) == 1);

enum TcpFlags : uint8_t {
  kTcpFin = 0x01,
  kTcpSyn = 0x02,
  kTcpRst = 0x04,
  kTcpPsh = 0x08,
  kTcpAck = 0x10,
  kTcpUrg = 0x20,
};

enum TcpOptionKind : uint8_t {
  kTcpOptionEnd = 0,
  kTcpOptionNop = 1,
  kTcpOptionMss = 2,
  kTcpOptionWindowScale = 3,
  kTcpOptionSackPermitted = 4,
  kTcpOptionSack = 5,
  kTcpOptionTimestamps = 8,
  kTcpOptionFastOpen = 34,
};
inline constexpr size_t kMaxTcpHeaderBytes = 60;

struct UdpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be16 length;
  Be16 checksum;
};
static_assert(sizeof(UdpHeader) == 8 && alignof(UdpHeader) == 1);

// The first eight bytes of every ICMP and ICMPv6 error; the quoted packet follows.
struct IcmpErrorHeader {
  uint8_t type;
  uint8_t code;
  Be16 checksum;
  Be16 unused;
  Be16 mtu;  // ICMPv4 "fragmentation needed"; ICMPv6 "packet too big" uses both words as one
};
static_assert(sizeof(IcmpErrorHeader) == 8 && alignof(IcmpErrorHeader) == 1);

// RFC 792, RFC 4443 section 4; the first eight bytes of a ping and of its answer.
struct IcmpEchoHeader {
  uint8_t type;
  uint8_t code;
  Be16 checksum;
  Be16 identifier;
  Be16 sequence;
};
static_assert(sizeof(IcmpEchoHeader) == 8 && alignof(IcmpEchoHeader) == 1);

enum Icmpv4Type : uint8_t {
  kIcmpv4EchoReply = 0,
  kIcmpv4DestinationUnreachable = 3,
  kIcmpv4SourceQuench = 4,
  kIcmpv4Redirect = 5,
  kIcmpv4EchoRequest = 8,
  kIcmpv4TimeExceeded = 11,
  kIcmpv4ParameterProblem = 12,
};
inline constexpr uint8_t kIcmpv4CodeFragmentationNeeded = 4;

enum Icmpv6Type : uint8_t {
  kIcmpv6DestinationUnreachable = 1,
  kIcmpv6PacketTooBig = 2,
  kIcmpv6TimeExceeded = 3,
  kIcmpv6ParameterProblem = 4,
  kIcmpv6EchoRequest = 128,
  kIcmpv6EchoReply = 129,
};

enum Ipv6NextHeader : uint8_t {
  kIpv6HopByHop = 0,
  kIpv6Routing = 43,
  kIpv6Fragment = 44,
  kIpv6NoNextHeader = 59,
  kIpv6DestinationOptions = 60,
};

// Every link of IPv6 carries as much (RFC 8200 section 5).
inline constexpr uint16_t kLeastIpv6Mtu = 1280;

struct Ipv6FragmentHeader {
  uint8_t next_header;
  uint8_t reserved;
  Be16 offset_and_more;
  Be32 identification;

  // An "atomic fragment" (RFC 6946) is whole.
  bool is_fragment() const { return (offset_and_more.value() & 0xfff9) != 0; }
};
static_assert(sizeof(Ipv6FragmentHeader) == 8 && alignof(Ipv6FragmentHeader) == 1);

}  // namespace steelyard::net
