// SPDX-License-Identifier: Apache-2.0
//
// Frames for tests, built and taken apart again. On purpose it shares no code with the parser, the
// checksums and the translation that it is there to test: bytes are placed one by one and every
// checksum is summed from scratch as RFC 1071 says it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/packet.h"
#include "net/wire.h"

namespace steelyard::test {

using Bytes = std::vector<uint8_t>;

net::IpAddress Address(const char* text);
net::Endpoint Host(const char* text, uint16_t port);

// Appending, in network byte order.
void Put8(Bytes& bytes, uint8_t value);
void Put16(Bytes& bytes, uint16_t value);
void Put32(Bytes& bytes, uint32_t value);
void Put(Bytes& bytes, const Bytes& more);
void Put(Bytes& bytes, const net::IpAddress& address);  // 4 or 16 bytes
uint16_t Get16(const Bytes& bytes, size_t at);
uint32_t Get32(const Bytes& bytes, size_t at);
void Set16(Bytes& bytes, size_t at, uint16_t value);
void Set32(Bytes& bytes, size_t at, uint32_t value);

// The one's complement sum of the bytes, folded; 0xffff when the bytes hold their own checksum.
uint16_t OnesSum(const Bytes& bytes);
Bytes PseudoHeader(const net::IpAddress& source, const net::IpAddress& destination,
                   uint8_t protocol, uint32_t l4_bytes);
Bytes Slice(const Bytes& bytes, size_t begin, size_t end);
Bytes Concat(std::initializer_list<Bytes> parts);
Bytes Pattern(size_t length, uint8_t seed = 1);  // payload that is not all alike

// --- building ----------------------------------------------------------------------------------

inline constexpr net::MacAddress kPortMac[2] = {{{0x02, 0, 0, 0, 0, 0x10}},
                                                {{0x02, 0, 0, 0, 0, 0x11}}};
inline constexpr net::MacAddress kSomeMac{{0x02, 0, 0, 0, 0, 0x99}};

Bytes Ethernet(uint16_t ether_type, const Bytes& payload,
               const net::MacAddress& destination = kPortMac[0]);
// An IP packet alone becomes a frame of its family.
Bytes Frame(const Bytes& ip_packet, const net::MacAddress& destination = kPortMac[0]);

struct IpFields {
  uint8_t ttl = 64;
  uint8_t dscp_and_ecn = 0;
  uint16_t identification = 0x1234;
  uint16_t flags_and_offset = 0x4000;  // IPv4: don't fragment
  Bytes options;                       // IPv4, padded with end-of-options
  // IPv6: extension headers as they stand, and the type of the first.
  Bytes extensions;
  uint8_t first_extension = 0;
};
// IPv6 extensions: the last one's next header must name `protocol`.
Bytes Ip(const net::IpAddress& source, const net::IpAddress& destination, uint8_t protocol,
         const Bytes& l4, const IpFields& fields = {});
// Where the IPv4 header of a frame was altered: its checksum again.
void FixIpv4Checksum(Bytes& frame);
// Over everything: IPv4 header, TCP, UDP, ICMP of a whole well-formed frame.
void FixChecksums(Bytes& frame);

struct Segment {
  net::Endpoint source, destination;
  uint32_t sequence = 1000;
  uint32_t acknowledgment = 0;
  uint8_t flags = net::kTcpAck;
  uint16_t window = 8192;
  Bytes options;  // padded with NOP to a multiple of four
  Bytes payload;
};
Bytes Tcp(const Segment& segment);  // from the ports on
Bytes TcpFrame(const Segment& segment, const IpFields& fields = {});

struct Datagram {
  net::Endpoint source, destination;
  Bytes payload;
  bool without_checksum = false;
};
Bytes Udp(const Datagram& datagram);
Bytes UdpFrame(const Datagram& datagram, const IpFields& fields = {});

// ICMP of either family, by the family of the addresses. `rest` is the second word of the header.
Bytes Icmp(const net::IpAddress& source, const net::IpAddress& destination, uint8_t type,
           uint8_t code, uint32_t rest, const Bytes& quoted);
Bytes IcmpFrame(const net::IpAddress& source, const net::IpAddress& destination, uint8_t type,
                uint8_t code, uint32_t rest, const Bytes& quoted, const IpFields& fields = {});

// Fragments of a frame that is none. Offsets count the bytes behind the part of the packet that
// every fragment repeats: the IPv4 header with its options; the IPv6 header and hop-by-hop options.
size_t FragmentableBytes(const Bytes& frame);
Bytes Fragment(const Bytes& frame, size_t begin, size_t end, bool more_follow,
               uint32_t identification = 77);
// Whole, in pieces that begin at 0 and at each of `cuts`, which are multiples of eight.
std::vector<Bytes> Fragments(const Bytes& frame, const std::vector<size_t>& cuts,
                             uint32_t identification = 77);
// What arrives where they arrive: `fragments` of one packet, in any order, put together; empty if
// they are not exactly one packet without gaps.
Bytes Defragmented(std::vector<Bytes> fragments);

// TCP options.
Bytes Nops(size_t count);
Bytes MssOption(uint16_t mss);
Bytes TimestampsOption(uint32_t value, uint32_t echo);
Bytes SackOption(const std::vector<std::pair<uint32_t, uint32_t>>& blocks);
Bytes ClientAddressOption(uint8_t kind, const net::Endpoint& client);

// The PROXY protocol's, version 2.
Bytes ProxyHeader(const net::Endpoint& client, const net::Endpoint& vip, uint8_t protocol);

// --- taking apart ------------------------------------------------------------------------------

// A frame as its receiver sees it. `trouble` is empty when every length and checksum is right.
struct Seen {
  std::string trouble;
  net::MacAddress destination_mac, source_mac;
  net::Endpoint source, destination;  // ports are zero for ICMP
  uint8_t protocol = 0;
  uint8_t ttl = 0;
  uint8_t dscp_and_ecn = 0;
  size_t l3_bytes = 0;
  Bytes l4;  // header and payload
  // TCP
  uint32_t sequence = 0, acknowledgment = 0;
  uint8_t flags = 0;
  size_t header_bytes = 0;
  std::map<uint8_t, Bytes> options;  // by kind, whole; without padding
  Bytes payload;                     // TCP and UDP
  uint16_t udp_checksum = 0;
  // ICMP
  uint8_t icmp_type = 0, icmp_code = 0;
  uint32_t icmp_rest = 0;
  Bytes quoted;  // the IP packet that an error quotes

  uint16_t mss() const { return Get16(options.at(net::kTcpOptionMss), 2); }
  uint32_t timestamp() const { return Get32(options.at(net::kTcpOptionTimestamps), 2); }
  uint32_t timestamp_echo() const { return Get32(options.at(net::kTcpOptionTimestamps), 6); }
};
Seen Dissect(const Bytes& frame);

// --- memory ------------------------------------------------------------------------------------

// A frame that ends where its memory ends, so that the address sanitizer sees any read behind it.
class ExactBuffer {
 public:
  explicit ExactBuffer(const Bytes& frame, uint32_t headroom = 0);
  ExactBuffer(const ExactBuffer&) = delete;
  ExactBuffer& operator=(const ExactBuffer&) = delete;
  net::Packet packet() const { return packet_; }

 private:
  std::vector<uint8_t> memory_;
  net::Packet packet_;
};

Bytes BytesOf(const net::Packet& packet);

}  // namespace steelyard::test
