// SPDX-License-Identifier: Apache-2.0
#include "frame.h"

#include <algorithm>
#include <cstring>

#include "net/wire.h"

namespace steelyard::wire {
namespace {

using net::Be16;
using net::Be32;
using net::EthernetHeader;
using net::Ipv4Header;
using net::Ipv6Header;
using net::TcpHeader;
using net::UdpHeader;

constexpr size_t kIpAt = sizeof(EthernetHeader);
constexpr size_t kCheckSequenceBytes = 4;
constexpr size_t kLeastFrameBytes = 60;  // without the frame check sequence
constexpr uint8_t kTtl = 64;
constexpr std::array<uint8_t, 4> kMssOption = {net::kTcpOptionMss, 4, 1400 >> 8, 1400 & 0xff};
constexpr size_t kLineBytes = 64;

template <typename T>
T Load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
void Store(uint8_t* to, const T& value) {
  std::memcpy(to, &value, sizeof value);
}

size_t IpHeaderBytes(bool is_v4) {
  return is_v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
}

// The lines that the address in the IP header has before its last four bytes.
bool SamePrefix(const uint8_t* address, const net::IpAddress& wanted) {
  return wanted.is_v4() || std::memcmp(address, wanted.v6().bytes.data(), 12) == 0;
}

}  // namespace

uint32_t LowOf(const net::IpAddress& address) {
  return Load<uint32_t>(&address.v6().bytes[12]);
}

net::IpAddress WithLow(net::IpAddress address, uint32_t low) {
  if (address.is_v4()) return net::Ipv4Address{Be32::FromRaw(low)};
  net::Ipv6Address changed = address.v6();
  Store(&changed.bytes[12], low);
  return changed;
}

net::IpAddress Following(const net::IpAddress& address, uint32_t places) {
  return WithLow(address, Be32(Be32::FromRaw(LowOf(address)).value() + places).raw());
}

FrameTemplate::FrameTemplate(const Parts& parts)
    : is_v4_(parts.source.is_v4()), is_tcp_(parts.protocol == net::L4Protocol::kTcp) {
  const size_t ip_header = IpHeaderBytes(is_v4_);
  const bool is_syn = is_tcp_ && (parts.tcp_flags & net::kTcpSyn) != 0;
  has_payload_ = !is_syn;
  l4_at_ = static_cast<uint8_t>(kIpAt + ip_header);
  const size_t l4_header =
      (is_tcp_ ? sizeof(TcpHeader) : sizeof(UdpHeader)) + (is_syn ? kMssOption.size() : 0);
  payload_at_ = static_cast<uint8_t>(l4_at_ + l4_header);
  const size_t least = payload_at_ + (is_syn ? 0 : kNumberBytes);
  const size_t wanted = std::max(kLeastFrameBytes, parts.frame_bytes - kCheckSequenceBytes);
  length_ = static_cast<uint16_t>(std::max(is_syn ? kLeastFrameBytes : wanted, least));
  const size_t l4_bytes = is_syn ? l4_header : length_ - l4_at_;
  Store(&bytes_[0], EthernetHeader{parts.destination_mac, parts.source_mac,
                                   is_v4_ ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6});
  WriteIp(parts, l4_bytes);
  WriteL4(parts, l4_bytes);
}

void FrameTemplate::WriteIp(const Parts& parts, size_t l4_bytes) {
  if (is_v4_) {
    Ipv4Header ip{};
    ip.version_and_length = 0x45;
    ip.total_length = Be16(static_cast<uint16_t>(sizeof ip + l4_bytes));
    ip.flags_and_offset = Be16(0x4000);
    ip.ttl = kTtl;
    ip.protocol = static_cast<uint8_t>(parts.protocol);
    Store(&bytes_[kIpAt], ip);
    source_low_at_ = kIpAt + offsetof(Ipv4Header, source);
    destination_low_at_ = kIpAt + offsetof(Ipv4Header, destination);
    ip_sum_ = net::FoldSum(net::SumBytes(&bytes_[kIpAt], sizeof ip));
    return;
  }
  Ipv6Header ip{};
  ip.version_class_flow = Be32(6u << 28);
  ip.payload_length = Be16(static_cast<uint16_t>(l4_bytes));
  ip.next_header = static_cast<uint8_t>(parts.protocol);
  ip.hop_limit = kTtl;
  ip.source = WithLow(parts.source, 0).v6();
  ip.destination = WithLow(parts.destination, 0).v6();
  Store(&bytes_[kIpAt], ip);
  source_low_at_ = kIpAt + offsetof(Ipv6Header, source) + 12;
  destination_low_at_ = kIpAt + offsetof(Ipv6Header, destination) + 12;
}

void FrameTemplate::WriteL4(const Parts& parts, size_t l4_bytes) {
  if (is_tcp_) {
    TcpHeader tcp{};
    tcp.data_offset_and_reserved = static_cast<uint8_t>((payload_at_ - l4_at_) / 4 << 4);
    tcp.flags = parts.tcp_flags;
    tcp.window = Be16(0xffff);
    Store(&bytes_[l4_at_], tcp);
    if (!has_payload_) Store(&bytes_[l4_at_ + sizeof tcp], kMssOption);
  } else {
    UdpHeader udp{};
    udp.length = Be16(static_cast<uint16_t>(l4_bytes));
    Store(&bytes_[l4_at_], udp);
  }
  const auto l4_length = static_cast<uint32_t>(l4_bytes);
  const net::ChecksumSum pseudo_header =
      is_v4_
          ? net::PseudoHeaderSum(net::Ipv4Address{}, net::Ipv4Address{}, parts.protocol, l4_length)
          : net::PseudoHeaderSum(WithLow(parts.source, 0).v6(), WithLow(parts.destination, 0).v6(),
                                 parts.protocol, l4_length);
  l4_sum_ = net::FoldSum(net::SumBytes(&bytes_[l4_at_], l4_bytes, pseudo_header));
}

void FrameTemplate::Write(uint8_t* frame, const FrameFields& fields) const {
  std::memcpy(frame, bytes_.data(), kLineBytes);
  if (length_ > kLineBytes)
    std::memcpy(frame + kLineBytes, &bytes_[kLineBytes], length_ - kLineBytes);
  const net::ChecksumSum addresses = net::ChecksumSum{fields.source_low} + fields.destination_low;
  if (is_v4_)
    Store(frame + kIpAt + offsetof(Ipv4Header, checksum), net::ChecksumOf(addresses + ip_sum_));
  Store(frame + source_low_at_, fields.source_low);
  Store(frame + destination_low_at_, fields.destination_low);

  uint8_t* const l4 = frame + l4_at_;
  net::ChecksumSum sum =
      addresses + l4_sum_ + fields.source_port.raw() + fields.destination_port.raw();
  Store(l4, fields.source_port);
  Store(l4 + 2, fields.destination_port);
  if (has_payload_) {
    Store(frame + payload_at_, fields.number);
    sum += fields.number;
  }
  if (is_tcp_) {
    Store(l4 + offsetof(TcpHeader, sequence), fields.sequence);
    Store(l4 + offsetof(TcpHeader, acknowledgment), fields.acknowledgment);
    sum += net::ChecksumSum{fields.sequence.raw()} + fields.acknowledgment.raw();
    Store(l4 + offsetof(TcpHeader, checksum), net::ChecksumOf(sum));
  } else {
    Store(l4 + offsetof(UdpHeader, checksum),
          net::ChecksumDelta(net::FoldSum(sum)).ApplyToUdp(Be16::FromRaw(0xffff)));
  }
}

bool ReadFrame(const uint8_t* frame, size_t length, const FrameKind& kind, FrameView& view) {
  const bool is_v4 = kind.family == net::Family::kIpv4;
  const bool is_tcp = kind.protocol == net::L4Protocol::kTcp;
  const size_t ip_header = IpHeaderBytes(is_v4);
  const size_t l4_header = is_tcp ? sizeof(TcpHeader) : sizeof(UdpHeader);
  if (length < kIpAt + ip_header + l4_header) return false;
  const Be16 ether_type = Load<Be16>(frame + offsetof(EthernetHeader, ether_type));
  if (ether_type != (is_v4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6)) return false;
  view.ip = frame + kIpAt;
  view.l4 = view.ip + ip_header;
  if (is_v4) {
    const auto* ip = reinterpret_cast<const Ipv4Header*>(view.ip);
    if (ip->version_and_length != 0x45 || ip->protocol != static_cast<uint8_t>(kind.protocol))
      return false;
    view.ip_bytes = ip->total_length.value();
    view.source_low = ip->source.bits.raw();
    view.destination_low = ip->destination.bits.raw();
  } else {
    const auto* ip = reinterpret_cast<const Ipv6Header*>(view.ip);
    if (ip->version() != 6 || ip->next_header != static_cast<uint8_t>(kind.protocol)) return false;
    view.ip_bytes = sizeof *ip + ip->payload_length.value();
    view.source_low = Load<uint32_t>(&ip->source.bytes[12]);
    view.destination_low = Load<uint32_t>(&ip->destination.bytes[12]);
  }
  if (view.ip_bytes > length - kIpAt || view.ip_bytes < ip_header + l4_header) return false;
  view.l4_bytes = view.ip_bytes - ip_header;
  view.source_port = Load<Be16>(view.l4);
  view.destination_port = Load<Be16>(view.l4 + 2);
  const size_t payload_at =
      is_tcp ? reinterpret_cast<const TcpHeader*>(view.l4)->header_bytes() : l4_header;
  view.has_number = payload_at >= l4_header && payload_at + kNumberBytes <= view.l4_bytes;
  if (view.has_number) view.number = Load<uint32_t>(view.l4 + payload_at);
  return true;
}

bool ChecksumsAreRight(const FrameView& view, const FrameKind& kind) {
  constexpr uint16_t kRight = 0xffff;
  const auto l4_bytes = static_cast<uint32_t>(view.l4_bytes);
  if (kind.family == net::Family::kIpv4) {
    const auto* ip = reinterpret_cast<const Ipv4Header*>(view.ip);
    if (net::FoldSum(net::SumBytes(ip, sizeof *ip)) != kRight) return false;
    const net::ChecksumSum pseudo_header =
        net::PseudoHeaderSum(ip->source, ip->destination, kind.protocol, l4_bytes);
    return net::FoldSum(net::SumBytes(view.l4, view.l4_bytes, pseudo_header)) == kRight;
  }
  const auto* ip = reinterpret_cast<const Ipv6Header*>(view.ip);
  const net::ChecksumSum pseudo_header =
      net::PseudoHeaderSum(ip->source, ip->destination, kind.protocol, l4_bytes);
  return net::FoldSum(net::SumBytes(view.l4, view.l4_bytes, pseudo_header)) == kRight;
}

bool HasPrefixes(const FrameView& view, const net::IpAddress& source,
                 const net::IpAddress& destination) {
  return SamePrefix(view.ip + offsetof(Ipv6Header, source), source) &&
         SamePrefix(view.ip + offsetof(Ipv6Header, destination), destination);
}

}  // namespace steelyard::wire
