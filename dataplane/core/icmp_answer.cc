// SPDX-License-Identifier: Apache-2.0
#include "core/icmp_answer.h"

#include <algorithm>

#include "net/checksum.h"

namespace steelyard::core {

using net::Be16;
using net::Be32;
using net::Family;
using net::HeaderAt;
using net::IcmpErrorHeader;
using net::Packet;
using net::ParsedPacket;
using net::Verdict;

namespace {

constexpr uint8_t kAnswerTtl = 64;
// Precedence "internetwork control" (RFC 1812 section 4.3.2.5), class selector 6 today.
constexpr uint8_t kAnswerDscpAndEcn = 0xc0;
constexpr uint16_t kMaxAnswerBytesIpv4 = 576;
constexpr uint16_t kMaxAnswerBytesIpv6 = 1280;

void WriteIpv4Header(const net::IpAddress& source, const net::IpAddress& destination,
                     size_t datagram_bytes, Packet& packet) {
  auto& ip = HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
  ip = {};
  ip.version_and_length = 0x45;
  ip.dscp_and_ecn = kAnswerDscpAndEcn;
  ip.total_length = Be16(static_cast<uint16_t>(datagram_bytes));
  // Never fragmented, so it needs no identification (RFC 6864 section 4.1).
  ip.flags_and_offset = Be16(0x4000);
  ip.ttl = kAnswerTtl;
  ip.protocol = static_cast<uint8_t>(net::L4Protocol::kIcmp);
  ip.source = source.v4();
  ip.destination = destination.v4();
  ip.checksum = net::ChecksumOf(net::SumBytes(&ip, sizeof ip));
}

void WriteIpv6Header(const net::IpAddress& source, const net::IpAddress& destination,
                     size_t datagram_bytes, Packet& packet) {
  auto& ip = HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
  ip.version_class_flow = Be32(6u << 28 | uint32_t{kAnswerDscpAndEcn} << 20);
  ip.payload_length = Be16(static_cast<uint16_t>(datagram_bytes - sizeof ip));
  ip.next_header = static_cast<uint8_t>(net::L4Protocol::kIcmpv6);
  ip.hop_limit = kAnswerTtl;
  ip.source = source.v6();
  ip.destination = destination.v6();
}

IcmpErrorHeader ErrorHeader(const Refusal& refusal, Family family) {
  IcmpErrorHeader icmp{};
  const bool is_v4 = family == Family::kIpv4;
  if (refusal.verdict == Verdict::kPacketTooBig) {
    icmp.type =
        is_v4 ? uint8_t{net::kIcmpv4DestinationUnreachable} : uint8_t{net::kIcmpv6PacketTooBig};
    icmp.code = is_v4 ? net::kIcmpv4CodeFragmentationNeeded : uint8_t{0};
    icmp.mtu = Be16(refusal.mtu);
  } else {
    icmp.type = is_v4 ? uint8_t{net::kIcmpv4TimeExceeded} : uint8_t{net::kIcmpv6TimeExceeded};
  }
  return icmp;
}

}  // namespace

uint16_t MtuForSender(Family family, uint16_t next_hop_mtu, int added_bytes) {
  return static_cast<uint16_t>(
      std::clamp<int>(next_hop_mtu - added_bytes, net::LeastMtu(family), UINT16_MAX));
}

bool MayBeAnswered(const Snapshot& snapshot, const ParsedPacket& parsed, const Packet& packet) {
  if (parsed.packet_class != net::PacketClass::kFlow) return false;
  if (HeaderAt<net::EthernetHeader>(packet, 0).destination.IsGroup()) return false;
  const net::FlowKey key = parsed.key();
  return key.source.address.IsUnicastHost() && key.destination.address.IsUnicastHost() &&
         !snapshot.IsOfTheBox(key.source.address);
}

net::IpAddress AnswerSource(const Snapshot& snapshot, PortId in_port,
                            const net::IpAddress& destination) {
  if (snapshot.IsOfTheBox(destination)) return destination;
  const auto addresses = snapshot.network->AddressesOn(in_port, destination.family());
  if (addresses.empty()) return destination;
  const auto at = std::find_if(addresses.begin(), addresses.end(), [&](const auto& address) {
    return !snapshot.own_addresses->contains(address);
  });
  return at != addresses.end() ? *at : addresses.front();
}

bool WriteIcmpAnswer(const Refusal& refusal, const net::IpAddress& source, const NextHop& next_hop,
                     const ParsedPacket& parsed, Packet& packet) {
  const bool is_v4 = parsed.family == Family::kIpv4;
  const uint32_t ip_bytes = is_v4 ? sizeof(net::Ipv4Header) : sizeof(net::Ipv6Header);
  const uint32_t added_bytes = ip_bytes + sizeof(IcmpErrorHeader);
  const uint32_t most_bytes =
      std::min(is_v4 ? kMaxAnswerBytesIpv4 : kMaxAnswerBytesIpv6, next_hop.mtu);
  if (packet.headroom < added_bytes || most_bytes < added_bytes) return false;
  const uint32_t datagram_bytes =
      std::min<uint32_t>(added_bytes + parsed.l3_end - net::kL3Offset, most_bytes);
  const net::IpAddress destination = parsed.key().source.address;

  packet.data -= added_bytes;
  packet.headroom -= added_bytes;
  packet.length = net::kL3Offset + datagram_bytes;
  HeaderAt<net::EthernetHeader>(packet, 0) = {next_hop.destination, next_hop.source,
                                              is_v4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6};
  const size_t icmp_offset = net::kL3Offset + ip_bytes;
  const uint32_t icmp_bytes = datagram_bytes - ip_bytes;
  net::ChecksumSum pseudo_header = 0;
  if (is_v4) {
    WriteIpv4Header(source, destination, datagram_bytes, packet);
  } else {
    WriteIpv6Header(source, destination, datagram_bytes, packet);
    pseudo_header =
        net::PseudoHeaderSum(source.v6(), destination.v6(), net::L4Protocol::kIcmpv6, icmp_bytes);
  }
  auto& icmp = HeaderAt<IcmpErrorHeader>(packet, icmp_offset);
  icmp = ErrorHeader(refusal, parsed.family);
  icmp.checksum =
      net::ChecksumOf(net::SumBytes(packet.data + icmp_offset, icmp_bytes, pseudo_header));
  return true;
}

Verdict Refuse(const PacketContext& context, const Refusal& refusal, const ParsedPacket& parsed,
               Burst& burst, uint32_t i) {
  const Snapshot& snapshot = context.snapshot;
  Packet& packet = burst.packet[i];
  if (!MayBeAnswered(snapshot, parsed, packet)) return refusal.verdict;
  if (!context.worker.icmp_errors.Take(context.now_ns)) {
    context.worker.counters.icmp_errors_suppressed.Add(1);
    return refusal.verdict;
  }
  const net::FlowKey key = parsed.key();
  const auto flow_hash = static_cast<uint32_t>(KeyHash(key.Reversed(), context.sessions.secret()));
  const Network::Lookup way_back = snapshot.network->Find(key.source.address, flow_hash);
  if (way_back.outcome == Network::Outcome::kNoNeighbour)
    context.worker.missing_neighbours.Add(way_back.missing);
  if (way_back.outcome != Network::Outcome::kFound) return refusal.verdict;
  const NextHop& next_hop = snapshot.network->next_hop(way_back.next_hop);
  const net::IpAddress source = AnswerSource(snapshot, context.in_port, key.destination.address);
  if (!WriteIcmpAnswer(refusal, source, next_hop, parsed, packet)) return refusal.verdict;
  burst.answered |= 1u << i;
  burst.out_port[i] = next_hop.port;
  return refusal.verdict;
}

}  // namespace steelyard::core
