// SPDX-License-Identifier: Apache-2.0
//
// The one parser: every frame passes it once, at the door, and no other code checks bounds. It
// proves every length that later stages rely on, walks IPv4 options, IPv6 extension headers and TCP
// options, and leaves offsets behind. Stateless; any thread. Sources: RFC 791, 8200 (extension
// headers), 6946 (atomic fragments), 5095 (routing header 0), 9293 section 3.1, 7323, 2018 (TCP
// options), 768, 792, 4443.
#pragma once

#include <cstdint>
#include <optional>

#include "net/flow_key.h"
#include "net/packet.h"
#include "net/verdict.h"
#include "net/wire.h"

namespace steelyard::net {

enum class PacketClass : uint8_t {
  kFlow,         // TCP, UDP or ICMP echo, whole: everything below is set
  kIcmpError,    // quotes a packet of a flow: key is the quoted packet's, quoted_* are set
  kTunnelError,  // ICMP, quotes an IP packet in another: quoted_* are set, of key only addresses
  kFragment,     // of a TCP, UDP or ICMP datagram: of key only addresses and protocol are set
  kOther,        // the kernel's business
  kMalformed,    // `malformed` names the reason
};

// The key of ICMP echo has the identifier as the port of whoever asked, and 0 as the other's: a
// request's is reversed in its reply (RFC 5508 section 3).
struct alignas(64) ParsedPacket {
  PacketClass packet_class = PacketClass::kOther;
  Verdict malformed = Verdict::kForwarded;
  Family family = Family::kIpv4;
  uint8_t tcp_flags = 0;
  // Offsets from Packet::data.
  uint16_t l4_offset = 0;
  uint16_t payload_offset = 0;  // behind the TCP, UDP or ICMP header
  uint16_t l3_end = 0;          // behind the IP datagram; the frame may have padding after it
  // TCP options, offset of the kind byte; 0: not there. Each has the length its RFC gives it.
  uint16_t timestamps_offset = 0;
  uint16_t sack_offset = 0;
  uint16_t mss_offset = 0;
  // Kinds that no field above names: somebody may have to look for a forged client address.
  bool has_other_options = false;
  // Whether nothing of it is remarkable: of TCP, an acknowledgment that neither opens nor ends
  // anything, of options with timestamps at most; of UDP, every datagram.
  bool is_plain = false;
  // ICMP errors: the packet that is quoted. The offsets of options are of its TCP header, when that
  // is quoted whole.
  uint16_t quoted_l3_offset = 0;
  uint16_t quoted_l4_offset = 0;

  union {
    FlowKey4 v4;  // family kIpv4
    FlowKey6 v6;  // family kIpv6
  };

  ParsedPacket() : v6{} {}
  L4Protocol protocol() const { return family == Family::kIpv4 ? v4.protocol : v6.protocol; }
  FlowKey key() const { return family == Family::kIpv4 ? FlowKey(v4) : FlowKey(v6); }
  uint32_t payload_bytes() const { return l3_end - payload_offset; }
};

inline constexpr uint16_t kL3Offset = sizeof(EthernetHeader);

// Packets from an address to itself and the like come from no wire, but may from us.
enum class PacketOrigin : uint8_t { kWire, kOurselves };

// `port_mac`: frames sent to another address are the kernel's business.
// `parsed` is written anew, whatever it held.
void ParsePacket(const Packet& packet, const MacAddress& port_mac, PacketOrigin origin,
                 ParsedPacket& parsed);
inline ParsedPacket ParsePacket(const Packet& packet, const MacAddress& port_mac,
                                PacketOrigin origin = PacketOrigin::kWire) {
  ParsedPacket parsed;
  ParsePacket(packet, port_mac, origin, parsed);
  return parsed;
}

constexpr bool IsIcmp(L4Protocol protocol) {
  return protocol == L4Protocol::kIcmp || protocol == L4Protocol::kIcmpv6;
}
// Of an ICMP echo header of either family.
constexpr bool IsEchoRequest(uint8_t icmp_type) {
  return icmp_type == kIcmpv4EchoRequest || icmp_type == kIcmpv6EchoRequest;
}

// Accessors over bytes that the parser has proved to be there.
template <typename Header>
Header& HeaderAt(const Packet& packet, size_t offset) {
  return *reinterpret_cast<Header*>(packet.data + offset);
}

// The flow whose packet stands, without extension headers, `offset` bytes into what an ICMP error
// quotes behind the quoted IP header (8 + 4 for GUE, 0 for IP in IP). Nothing: none, or not enough
// of it.
std::optional<FlowKey> QuotedInnerFlow(const Packet& packet, const ParsedPacket& parsed,
                                       size_t offset);

// Walks a TCP option list that ParsePacket has accepted. Stops at the end-of-options kind.
class TcpOptionWalker {
 public:
  TcpOptionWalker(const uint8_t* options, size_t length) : at_(options), end_(options + length) {}
  // The next option that is not padding; null at the end. [0] is the kind, [1] the length.
  const uint8_t* Next();

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace steelyard::net
