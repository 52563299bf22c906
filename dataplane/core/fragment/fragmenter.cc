// SPDX-License-Identifier: Apache-2.0
#include "core/fragment/fragmenter.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "net/checksum.h"
#include "net/parser.h"
#include "net/wire.h"

namespace steelyard::core {

using net::Be16;
using net::HeaderAt;
using net::Ipv4Header;
using net::Ipv6FragmentHeader;
using net::Ipv6Header;
using net::Packet;

namespace {

constexpr uint32_t kUnitBytes = 8;
constexpr uint16_t kMoreFragments = 0x2000;  // IPv4
constexpr uint8_t kOptionEnd = 0;
constexpr uint8_t kOptionNop = 1;
constexpr uint8_t kOptionCopied = 0x80;

bool IsIpv4(const Packet& packet) {
  return HeaderAt<net::EthernetHeader>(packet, 0).ether_type == net::kEtherTypeIpv4;
}

// The options that go into every fragment, of those at [options, end); padded. Returns their bytes.
uint32_t CopyOptions(const uint8_t* options, const uint8_t* end, uint8_t* out) {
  uint32_t bytes = 0;
  while (options < end && *options != kOptionEnd) {
    const uint32_t length = *options == kOptionNop ? 1 : options[1];
    if (*options & kOptionCopied) {
      std::memcpy(out + bytes, options, length);
      bytes += length;
    }
    options += length;
  }
  while (bytes % 4 != 0) out[bytes++] = kOptionEnd;
  return bytes;
}

struct UnfragmentablePart {
  uint32_t end = net::kL3Offset + sizeof(Ipv6Header);
  // Of the byte that names what follows.
  uint32_t next_header_offset = net::kL3Offset + offsetof(Ipv6Header, next_header);
};

// Everything up to the hop-by-hop options or, if there is one, the routing header.
UnfragmentablePart UnfragmentablePartOf(const Packet& packet) {
  UnfragmentablePart part;
  UnfragmentablePart walked;
  while (true) {
    const uint8_t type = packet.data[walked.next_header_offset];
    const bool is_extension = type == net::kIpv6HopByHop || type == net::kIpv6Routing ||
                              type == net::kIpv6DestinationOptions;
    if (!is_extension) return part;
    walked.next_header_offset = walked.end;
    walked.end += (packet.data[walked.end + 1] + 1u) * 8u;
    if (type != net::kIpv6DestinationOptions) part = walked;
  }
}

}  // namespace

Fragmenter::Fragmenter(const Packet& packet, uint16_t mtu, uint32_t identification)
    : packet_(packet), identification_(identification), is_v4_(IsIpv4(packet)) {
  uint32_t repeated_bytes;  // in front of every piece, without Ethernet
  if (is_v4_) {
    const auto& ip = HeaderAt<Ipv4Header>(packet, net::kL3Offset);
    repeated_bytes = static_cast<uint32_t>(ip.header_bytes());
    header_bytes_ = net::kL3Offset + repeated_bytes;
  } else {
    const UnfragmentablePart part = UnfragmentablePartOf(packet);
    header_bytes_ = part.end;
    next_header_offset_ = part.next_header_offset;
    repeated_bytes = header_bytes_ - net::kL3Offset + sizeof(Ipv6FragmentHeader);
  }
  piece_bytes_ = mtu < repeated_bytes ? 0 : (mtu - repeated_bytes) / kUnitBytes * kUnitBytes;
  const uint32_t payload_bytes = packet.length - header_bytes_;
  if (packet.length - net::kL3Offset <= mtu)
    count_ = 1;
  else
    count_ = piece_bytes_ == 0 ? 0 : (payload_bytes + piece_bytes_ - 1) / piece_bytes_;
}

uint32_t Fragmenter::Write(uint32_t number, uint8_t* out) const {
  if (count_ == 1) {
    std::memcpy(out, packet_.data, packet_.length);
    return packet_.length;
  }
  const uint32_t offset = number * piece_bytes_;
  const bool is_last = number == count_ - 1;
  const uint32_t bytes = is_last ? packet_.length - header_bytes_ - offset : piece_bytes_;
  const uint32_t header_bytes = is_v4_ ? WriteIpv4Headers(number == 0, out) : WriteIpv6Headers(out);
  std::memcpy(out + header_bytes, packet_.data + header_bytes_ + offset, bytes);
  const Packet fragment{.data = out, .length = header_bytes + bytes};
  if (is_v4_) {
    auto& ip = HeaderAt<Ipv4Header>(fragment, net::kL3Offset);
    ip.total_length = Be16(static_cast<uint16_t>(fragment.length - net::kL3Offset));
    ip.flags_and_offset =
        Be16(static_cast<uint16_t>(offset / kUnitBytes | (is_last ? 0 : kMoreFragments)));
    ip.checksum = Be16();
    ip.checksum = net::ChecksumOf(net::SumBytes(&ip, ip.header_bytes()));
  } else {
    auto& ip = HeaderAt<Ipv6Header>(fragment, net::kL3Offset);
    ip.payload_length =
        Be16(static_cast<uint16_t>(fragment.length - net::kL3Offset - sizeof(Ipv6Header)));
    HeaderAt<Ipv6FragmentHeader>(fragment, header_bytes_).offset_and_more =
        Be16(static_cast<uint16_t>(offset | (is_last ? 0 : 1)));
  }
  return fragment.length;
}

uint32_t Fragmenter::WriteIpv4Headers(bool is_first, uint8_t* out) const {
  constexpr uint32_t kOptionsOffset = net::kL3Offset + sizeof(Ipv4Header);
  uint32_t header_bytes = header_bytes_;
  std::memcpy(out, packet_.data, header_bytes);
  if (!is_first && header_bytes != kOptionsOffset)
    header_bytes = kOptionsOffset + CopyOptions(packet_.data + kOptionsOffset,
                                                packet_.data + header_bytes, out + kOptionsOffset);
  auto& ip = HeaderAt<Ipv4Header>({.data = out}, net::kL3Offset);
  ip.version_and_length = static_cast<uint8_t>(0x40 | (header_bytes - net::kL3Offset) / 4);
  ip.identification = Be16(static_cast<uint16_t>(identification_));
  return header_bytes;
}

uint32_t Fragmenter::WriteIpv6Headers(uint8_t* out) const {
  std::memcpy(out, packet_.data, header_bytes_);
  out[next_header_offset_] = net::kIpv6Fragment;
  HeaderAt<Ipv6FragmentHeader>({.data = out}, header_bytes_) = {
      .next_header = packet_.data[next_header_offset_],
      .identification = net::Be32(identification_)};
  return header_bytes_ + sizeof(Ipv6FragmentHeader);
}

FragmentIdentification::FragmentIdentification(uint64_t seed) {
  std::mt19937_64 random(seed);
  for (uint64_t& word : secret_.words) word = random();
  for (uint32_t& counter : counters_) counter = static_cast<uint32_t>(random());
}

uint32_t FragmentIdentification::Next(const Packet& packet) {
  uint64_t hash;
  if (IsIpv4(packet)) {
    const auto& ip = HeaderAt<Ipv4Header>(packet, net::kL3Offset);
    hash = KeyHash(net::FlowKey4{ip.source, ip.destination, {}, {}, {}}, secret_);
  } else {
    const auto& ip = HeaderAt<Ipv6Header>(packet, net::kL3Offset);
    hash = KeyHash(net::FlowKey6{ip.source, ip.destination, {}, {}, {}}, secret_);
  }
  return static_cast<uint32_t>(hash >> 32) + counters_[hash % counters_.size()]++;
}

}  // namespace steelyard::core
