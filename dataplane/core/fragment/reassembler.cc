// SPDX-License-Identifier: Apache-2.0
#include "core/fragment/reassembler.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "net/checksum.h"
#include "net/wire.h"

namespace steelyard::core {

using net::Be16;
using net::Family;
using net::FlowKey;
using net::HeaderAt;
using net::Ipv4Header;
using net::Ipv6FragmentHeader;
using net::Ipv6Header;
using net::Packet;
using net::ParsedPacket;
using net::Verdict;

namespace {

constexpr uint8_t kEcnMask = 3;
constexpr uint8_t kNotEct = 0;
constexpr uint8_t kCongestionExperienced = 3;

constexpr uint8_t BitOf(uint8_t codepoint) {
  return static_cast<uint8_t>(1 << codepoint);
}

// The sources of one /64 are one.
constexpr int kSourcePrefixLengthIpv6 = 64;

// Twice as many buckets as datagrams, and four times as many counters of sources, so that sources
// rarely share one.
uint32_t BucketCount(uint32_t datagrams) {
  return std::bit_ceil(2 * datagrams);
}
uint32_t SourceCount(uint32_t datagrams) {
  return std::bit_ceil(4 * datagrams);
}

FlowKey KeyOf(const ParsedPacket& parsed, uint32_t identification, net::L4Protocol protocol) {
  FlowKey key = parsed.key();
  key.source.port = Be16(static_cast<uint16_t>(identification >> 16));
  key.destination.port = Be16(static_cast<uint16_t>(identification));
  key.protocol = protocol;
  return key;
}

// Calls `visit(word, mask)` for the 64-bit words that hold the bits [begin, end).
template <typename Visit>
void ForEachWord(uint32_t begin, uint32_t end, Visit&& visit) {
  while (begin < end) {
    const uint32_t bits = std::min(end - begin, 64 - begin % 64);
    const uint64_t ones = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    visit(begin / 64, ones << begin % 64);
    begin += bits;
  }
}

// The byte that names the fragment header at `fragment_header`, in a chain that the parser has
// walked.
uint8_t& NextHeaderBefore(const Packet& packet, uint16_t fragment_header) {
  uint8_t* names_next = &HeaderAt<Ipv6Header>(packet, net::kL3Offset).next_header;
  uint8_t* header = packet.data + net::kL3Offset + sizeof(Ipv6Header);
  while (header != packet.data + fragment_header) {
    const bool is_fragment_header = *names_next == net::kIpv6Fragment;  // an atomic one
    names_next = header;
    header += is_fragment_header ? sizeof(Ipv6FragmentHeader) : (header[1] + 1u) * 8u;
  }
  return *names_next;
}

// RFC 3168 section 5.3: congestion that any fragment met was met by the datagram; but not when some
// of its fragments could not have been marked.
bool MayBeRebuilt(uint8_t ecn_seen) {
  return (ecn_seen & BitOf(kCongestionExperienced)) == 0 || (ecn_seen & BitOf(kNotEct)) == 0;
}

void FinishIpv4(const Packet& packet, bool congestion) {
  auto& ip = HeaderAt<Ipv4Header>(packet, net::kL3Offset);
  ip.total_length = Be16(static_cast<uint16_t>(packet.length - net::kL3Offset));
  ip.flags_and_offset = Be16();
  if (congestion) ip.dscp_and_ecn |= kCongestionExperienced;
  ip.checksum = Be16();
  ip.checksum = net::ChecksumOf(net::SumBytes(&ip, ip.header_bytes()));
}

void FinishIpv6(const Packet& packet, bool congestion) {
  constexpr uint32_t kCongestionExperiencedIpv6 = uint32_t{kCongestionExperienced} << 20;
  auto& ip = HeaderAt<Ipv6Header>(packet, net::kL3Offset);
  ip.payload_length =
      Be16(static_cast<uint16_t>(packet.length - net::kL3Offset - sizeof(Ipv6Header)));
  if (congestion)
    ip.version_class_flow = net::Be32(ip.version_class_flow.value() | kCongestionExperiencedIpv6);
}

}  // namespace

// --- memory ------------------------------------------------------------------------------------

struct Reassembler::Layout {
  size_t datagrams, buckets, source_counts, end;  // offsets; slots stand first
};

Reassembler::Layout Reassembler::LayoutFor(const ReassemblyLimits& limits) {
  constexpr auto kRoundUp = [](size_t bytes) { return (bytes + 63) / 64 * 64; };
  Layout layout;
  layout.datagrams = sizeof(Slot) * limits.datagrams;
  layout.buckets = kRoundUp(layout.datagrams + sizeof(Datagram) * limits.datagrams);
  layout.source_counts = kRoundUp(layout.buckets + sizeof(Index) * BucketCount(limits.datagrams));
  layout.end = kRoundUp(layout.source_counts + sizeof(uint32_t) * SourceCount(limits.datagrams));
  return layout;
}

size_t Reassembler::RequiredBytes(const ReassemblyLimits& limits) {
  return LayoutFor(limits).end;
}

Reassembler::Reassembler(std::span<std::byte> memory, const ReassemblyLimits& limits,
                         const HashSecret& secret)
    : limits_(limits), secret_(secret) {
  const Layout layout = LayoutFor(limits);
  slots_ = {reinterpret_cast<Slot*>(memory.data()), limits.datagrams};
  datagrams_ = {reinterpret_cast<Datagram*>(memory.data() + layout.datagrams), limits.datagrams};
  buckets_ = {reinterpret_cast<Index*>(memory.data() + layout.buckets),
              BucketCount(limits.datagrams)};
  source_counts_ = {reinterpret_cast<uint32_t*>(memory.data() + layout.source_counts),
                    SourceCount(limits.datagrams)};
  std::fill(buckets_.begin(), buckets_.end(), kNone);
  std::fill(source_counts_.begin(), source_counts_.end(), 0u);
  for (Index index = 0; index < limits.datagrams; ++index) {
    std::construct_at(&datagrams_[index]);
    Append(free_, index);
  }
}

void Reassembler::Append(List& list, Index index) {
  Datagram& datagram = datagrams_[index];
  datagram.previous = list.last;
  datagram.next = kNone;
  (list.last == kNone ? list.first : datagrams_[list.last].next) = index;
  list.last = index;
}

void Reassembler::Remove(List& list, Index index) {
  const Datagram& datagram = datagrams_[index];
  (datagram.previous == kNone ? list.first : datagrams_[datagram.previous].next) = datagram.next;
  (datagram.next == kNone ? list.last : datagrams_[datagram.next].previous) = datagram.previous;
}

// --- a fragment --------------------------------------------------------------------------------

Reassembler::Fragment Reassembler::Describe(const Packet& packet, const ParsedPacket& parsed) {
  Fragment fragment{.packet = packet,
                    .payload = packet.data + parsed.l4_offset,
                    .bytes = uint32_t{parsed.l3_end} - parsed.l4_offset,
                    .packet_bytes = static_cast<uint16_t>(parsed.l3_end - net::kL3Offset)};
  if (parsed.family == Family::kIpv4) {
    const auto& ip = HeaderAt<Ipv4Header>(packet, net::kL3Offset);
    fragment.key = KeyOf(parsed, ip.identification.value(), parsed.v4.protocol);
    fragment.offset = (ip.flags_and_offset.value() & 0x1fffu) * kUnitBytes;
    fragment.is_last = (ip.flags_and_offset.value() & 0x2000) == 0;
    fragment.header_bytes = parsed.l4_offset;
    fragment.ecn = ip.dscp_and_ecn & kEcnMask;
  } else {
    fragment.header_bytes = static_cast<uint16_t>(parsed.l4_offset - sizeof(Ipv6FragmentHeader));
    const auto& ip = HeaderAt<Ipv6Header>(packet, net::kL3Offset);
    const auto& header = HeaderAt<Ipv6FragmentHeader>(packet, fragment.header_bytes);
    fragment.key = KeyOf(parsed, header.identification.value(), {});
    fragment.offset = header.offset_and_more.value() & 0xfff8u;
    fragment.is_last = (header.offset_and_more.value() & 1) == 0;
    fragment.ecn = static_cast<uint8_t>(ip.version_class_flow.value() >> 20 & kEcnMask);
  }
  return fragment;
}

// All but the last are whole units; none is empty, and none reaches beyond what a datagram can be.
bool Reassembler::IsPossible(const Fragment& fragment) {
  return fragment.bytes != 0 && (fragment.is_last || fragment.bytes % kUnitBytes == 0) &&
         fragment.header_bytes <= kMaxHeaderBytes &&
         fragment.header_bytes + fragment.end() <= kMaxFrameBytes;
}

Verdict Reassembler::Add(const Packet& packet, const ParsedPacket& parsed, Steered steered,
                         uint64_t now_ns) {
  const Fragment fragment = Describe(packet, parsed);
  if (!IsPossible(fragment)) return Verdict::kFragmentInvalid;
  const uint64_t hash = KeyHash(fragment.key, secret_);
  const auto bucket = static_cast<uint32_t>(hash & (buckets_.size() - 1));
  Index index = Find(fragment.key, bucket);
  if (index == kNone) index = Begin(fragment.key, bucket, now_ns);
  if (index == kNone) return Verdict::kFragmentLimit;
  datagrams_[index].steered = std::max(datagrams_[index].steered, steered);
  return Place(index, fragment);
}

Reassembler::Index Reassembler::Find(const FlowKey& key, uint32_t bucket) const {
  Index index = buckets_[bucket];
  while (index != kNone && datagrams_[index].key != key) index = datagrams_[index].next_of_bucket;
  return index;
}

uint32_t Reassembler::SourceOf(const FlowKey& key) const {
  const net::IpAddress& source = key.source.address;
  const net::IpAddress prefix =
      source.is_v4() ? source : net::NetworkOf(source, kSourcePrefixLengthIpv6).address;
  const uint64_t hash = KeyHash(FlowKey({prefix, {}}, {prefix, {}}, {}), secret_);
  return static_cast<uint32_t>(hash & (source_counts_.size() - 1));
}

Reassembler::Index Reassembler::Begin(const FlowKey& key, uint32_t bucket, uint64_t now_ns) {
  const uint32_t source = SourceOf(key);
  const Index index = free_.last;  // used last: warm, and what is never needed is never touched
  if (index == kNone || source_counts_[source] >= limits_.datagrams_per_source) return kNone;
  Remove(free_, index);
  ++in_use_;
  ++source_counts_[source];
  std::ranges::fill(slots_[index].arrived, 0u);
  datagrams_[index] = {.key = key,
                       .deadline_ns = now_ns + kTimeoutNs,
                       .bucket = bucket,
                       .source = source,
                       .next_of_bucket = buckets_[bucket]};
  buckets_[bucket] = index;
  Append(by_age_, index);
  return index;
}

Verdict Reassembler::Place(Index index, const Fragment& fragment) {
  Datagram& datagram = datagrams_[index];
  if (datagram.is_spoilt) return Verdict::kFragmentInvalid;
  const uint32_t arrived_units = CountArrived(index, fragment);
  if (Contradicts(datagram, fragment) ||
      (arrived_units != 0 && !IsDuplicate(index, fragment, arrived_units))) {
    datagram.is_spoilt = true;
    return Verdict::kFragmentInvalid;
  }
  if (arrived_units != 0) return Verdict::kConsumed;
  CopyIn(index, fragment);
  if (!IsComplete(datagram)) return Verdict::kConsumed;
  if (!Rebuild(index)) {
    datagram.is_spoilt = true;
    return Verdict::kFragmentInvalid;
  }
  Forget(index);
  Append(complete_, index);
  return Verdict::kConsumed;
}

// Two opinions on where the datagram ends.
bool Reassembler::Contradicts(const Datagram& datagram, const Fragment& fragment) const {
  if (fragment.is_last && fragment.end() < datagram.arrived_bytes) return true;
  if (datagram.payload_bytes == 0) return false;
  return fragment.is_last ? fragment.end() != datagram.payload_bytes
                          : fragment.end() >= datagram.payload_bytes;
}

bool Reassembler::IsDuplicate(Index index, const Fragment& fragment, uint32_t arrived_units) const {
  const uint8_t* arrived = slots_[index].bytes + kPayloadOffset + fragment.offset;
  return arrived_units == fragment.end_unit() - fragment.first_unit() &&
         fragment.end() <= datagrams_[index].arrived_bytes &&
         fragment.is_last == (fragment.end() == datagrams_[index].payload_bytes) &&
         std::memcmp(arrived, fragment.payload, fragment.bytes) == 0;
}

void Reassembler::CopyIn(Index index, const Fragment& fragment) {
  Datagram& datagram = datagrams_[index];
  uint8_t* payload = slots_[index].bytes + kPayloadOffset;
  std::memcpy(payload + fragment.offset, fragment.payload, fragment.bytes);
  MarkArrived(index, fragment);
  datagram.arrived_bytes = std::max(datagram.arrived_bytes, fragment.end());
  datagram.largest_fragment = std::max(datagram.largest_fragment, fragment.packet_bytes);
  datagram.ecn_seen |= BitOf(fragment.ecn);
  if (fragment.is_last) datagram.payload_bytes = fragment.end();
  if (fragment.offset != 0) return;
  datagram.header_bytes = fragment.header_bytes;
  std::memcpy(payload - fragment.header_bytes, fragment.packet.data, fragment.header_bytes);
  if (!fragment.key.is_v4())
    NextHeaderBefore(PacketOf(index), fragment.header_bytes) =
        HeaderAt<Ipv6FragmentHeader>(fragment.packet, fragment.header_bytes).next_header;
}

uint32_t Reassembler::CountArrived(Index index, const Fragment& fragment) const {
  uint32_t count = 0;
  ForEachWord(fragment.first_unit(), fragment.end_unit(), [&](uint32_t word, uint64_t mask) {
    count += static_cast<uint32_t>(std::popcount(slots_[index].arrived[word] & mask));
  });
  return count;
}

void Reassembler::MarkArrived(Index index, const Fragment& fragment) {
  ForEachWord(fragment.first_unit(), fragment.end_unit(),
              [&](uint32_t word, uint64_t mask) { slots_[index].arrived[word] |= mask; });
  datagrams_[index].arrived_units += fragment.end_unit() - fragment.first_unit();
}

// --- the datagram ------------------------------------------------------------------------------

bool Reassembler::IsComplete(const Datagram& datagram) const {
  return datagram.payload_bytes != 0 &&
         datagram.arrived_units == (datagram.payload_bytes + kUnitBytes - 1) / kUnitBytes;
}

Packet Reassembler::PacketOf(Index index) {
  const Datagram& datagram = datagrams_[index];
  const uint32_t headroom = kPayloadOffset - datagram.header_bytes;
  return {.data = slots_[index].bytes + headroom,
          .length = datagram.header_bytes + datagram.payload_bytes,
          .headroom = headroom};
}

bool Reassembler::Rebuild(Index index) {
  const Datagram& datagram = datagrams_[index];
  // The headers of later fragments may have been shorter than the first one's.
  if (datagram.header_bytes + datagram.payload_bytes > kMaxFrameBytes ||
      !MayBeRebuilt(datagram.ecn_seen))
    return false;
  const bool congestion = (datagram.ecn_seen & BitOf(kCongestionExperienced)) != 0;
  if (datagram.key.is_v4())
    FinishIpv4(PacketOf(index), congestion);
  else
    FinishIpv6(PacketOf(index), congestion);
  return true;
}

void Reassembler::TakeComplete(Burst& burst) {
  burst.count = 0;
  burst.is_reassembled = true;
  while (burst.count < kBurstCapacity && complete_.first != kNone) {
    const Index index = complete_.first;
    Remove(complete_, index);
    Append(taken_, index);
    burst.packet[burst.count] = PacketOf(index);
    burst.buffer[burst.count] = nullptr;
    const Steered steered = datagrams_[index].steered;
    burst.steered[burst.count] = IsHome(steered) ? steered : Steered::kNot;
    burst.largest_fragment[burst.count] = datagrams_[index].largest_fragment;
    ++burst.count;
  }
}

void Reassembler::ReleaseTaken() {
  while (taken_.first != kNone) {
    const Index index = taken_.first;
    Remove(taken_, index);
    Append(free_, index);
    --in_use_;
  }
}

void Reassembler::Forget(Index index) {
  const Datagram& datagram = datagrams_[index];
  Index* at = &buckets_[datagram.bucket];
  while (*at != index) at = &datagrams_[*at].next_of_bucket;
  *at = datagram.next_of_bucket;
  --source_counts_[datagram.source];
  Remove(by_age_, index);
}

uint32_t Reassembler::Expire(uint64_t now_ns, uint32_t budget) {
  uint32_t timeouts = 0;
  for (; budget > 0 && by_age_.first != kNone; --budget) {
    const Index index = by_age_.first;
    if (datagrams_[index].deadline_ns > now_ns) break;
    timeouts += !datagrams_[index].is_spoilt;
    Forget(index);
    Append(free_, index);
    --in_use_;
  }
  return timeouts;
}

}  // namespace steelyard::core
