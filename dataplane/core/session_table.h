// SPDX-License-Identifier: Apache-2.0
//
// SessionTable: every session that one worker owns, found by either direction's key.
//
// Buckets are one cache line: eight 16-bit signatures and eight 32-bit flow references. A key lives
// in its primary bucket, or, when that was full, in its secondary one; the primary counts how many
// of its keys went elsewhere, so a miss reads one line unless there were any (Pagh and Rodler's
// cuckoo hashing with buckets, two displacements deep). A new session that finds no place is
// refused; an established one is never evicted.
//
// All memory is the caller's, handed over zeroed and 64-byte aligned; nothing is allocated later.
// Or it was an earlier table's of the same capacity, and Rebuild comes before anything else: flows
// and records of complete sessions are the truth, everything else in the memory follows from them.
// Whatever instant that table was left at, a complete session is whole.
// One worker's thread owns the table.
#pragma once

#include <emmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>

#include "core/key_hash.h"
#include "core/session.h"
#include "core/timer_wheel.h"

namespace steelyard::core {

struct SessionCapacity {
  uint32_t narrow = 0;  // sessions with IPv4 on both sides
  uint32_t wide = 0;    // the others
  uint32_t total() const { return narrow + wide; }
};

class SessionTable {
 public:
  static size_t RequiredBytes(const SessionCapacity& capacity);

  SessionTable(std::span<std::byte> memory, const SessionCapacity& capacity,
               const HashSecret& secret);

  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;

  const SessionCapacity& capacity() const { return capacity_; }
  uint32_t size() const { return size_; }
  const HashSecret& secret() const { return secret_; }
  // Changes whenever a session comes or goes: references found before are to be found again.
  uint32_t change_count() const { return change_count_; }

  // Finding, all at once. Key is FlowKey4, FlowKey6 or FlowKey.
  template <typename Key>
  FlowRef Find(const Key& key) const {
    return Find(key, KeyHash(key, secret_));
  }
  template <typename Key>
  FlowRef Find(const Key& key, uint64_t hash) const;

  // Finding in stages, over a burst: PrefetchBucket, then Candidate and PrefetchFlow, then Confirm.
  // Prefetching is inlined by force: GCC 12 takes a function that does nothing else for one without
  // effect, and drops its calls.
  [[gnu::always_inline]] void PrefetchBucket(uint64_t hash) const {
    __builtin_prefetch(&buckets_[PrimaryBucket(hash)]);
  }
  // A flow of that signature in the primary bucket, or kNoFlow. Not proved to be the key's.
  FlowRef Candidate(uint64_t hash) const {
    return CandidateIn(buckets_[PrimaryBucket(hash)], hash);
  }
  // The same in the secondary bucket, where a key without a candidate in its primary one may be.
  bool MayBeDisplaced(uint64_t hash) const { return buckets_[PrimaryBucket(hash)].displaced != 0; }
  [[gnu::always_inline]] void PrefetchSecondaryBucket(uint64_t hash) const {
    __builtin_prefetch(&buckets_[SecondaryBucket(hash)]);
  }
  FlowRef SecondaryCandidate(uint64_t hash) const {
    return CandidateIn(buckets_[SecondaryBucket(hash)], hash);
  }
  [[gnu::always_inline]] void PrefetchFlow(FlowRef flow) const {
    if (flow == kNoFlow) return;
    if (!IsWide(flow)) {
      __builtin_prefetch(&narrow(flow), 1);
      return;
    }
    const auto* record = reinterpret_cast<const char*>(&wide(flow));
    __builtin_prefetch(record, 1);
    __builtin_prefetch(record + 64);
  }
  template <typename Key>
  FlowRef Confirm(FlowRef candidate, const Key& key, uint64_t hash) const {
    if (candidate != kNoFlow && Matches(candidate, key)) [[likely]]
      return candidate;
    return Find(key, hash);
  }

  // Whether a flow of that hash may be there: true of every one that is, and seldom of one that is
  // not (of one in 8,000, by its signature). No flow is read for it.
  bool MayHold(uint64_t hash) const {
    const Bucket& primary = buckets_[PrimaryBucket(hash)];
    if (MatchMask(primary, Signature(hash)) != 0) return true;
    return primary.displaced != 0 &&
           MatchMask(buckets_[SecondaryBucket(hash)], Signature(hash)) != 0;
  }

  // Opens a session with a key and a rewrite for each direction; neither key may be there already
  // (the reverse one of a one-way session is of no matter). Flow states are zeroed but for
  // protocol, family flags and the address checksum delta. kNoSession: full. Not complete yet.
  struct Flow {
    net::FlowKey key;
    net::FlowKey rewrite;  // addresses and ports as the packet leaves
  };
  SessionId Insert(const Flow& forward, const Flow& reverse,
                   SessionKind kind = SessionKind::kTwoWay);
  // All that its packets and its end need is written: it may outlive the process.
  void Complete(SessionId session);
  void Remove(SessionId session);

  // Keeps the complete sessions of the earlier table that `keep` accepts, and frees all other
  // records. `keep` sees records and flows as they were found, whatever they may hold, and may
  // alter what is no part of a key. Of two sessions with a key in common one is kept. No timer is
  // armed, no session has children.
  struct Rebuilt {
    uint32_t kept = 0;
    uint32_t incomplete = 0;
    uint32_t refused = 0;   // by `keep`
    uint32_t unplaced = 0;  // their key was there already, or had no place
  };
  Rebuilt Rebuild(const std::function<bool(SessionId)>& keep);

  // Whether Insert would find a free record for a flow whose key and rewrite are of these families.
  // (In rare cases it is refused a place in the buckets all the same.)
  bool HasRoomFor(net::Family key, net::Family rewrite) const;

  bool IsWide(FlowRef flow) const { return SessionOf(flow) >= capacity_.narrow; }
  FlowState& state(FlowRef flow) { return IsWide(flow) ? wide(flow).state : narrow(flow).state; }
  const FlowState& state(FlowRef flow) const {
    return const_cast<SessionTable*>(this)->state(flow);
  }
  NarrowFlow& narrow(FlowRef flow) { return narrow_[flow]; }
  const NarrowFlow& narrow(FlowRef flow) const { return narrow_[flow]; }
  WideFlow& wide(FlowRef flow) { return wide_[flow - 2 * capacity_.narrow]; }
  const WideFlow& wide(FlowRef flow) const { return wide_[flow - 2 * capacity_.narrow]; }
  SessionRecord& record(SessionId session) { return records_[session]; }
  const SessionRecord& record(SessionId session) const { return records_[session]; }
  Flow Describe(FlowRef flow) const { return {KeyOf(flow), RewriteOf(flow)}; }
  net::FlowKey KeyOf(FlowRef flow) const;
  net::FlowKey RewriteOf(FlowRef flow) const;
  // For walking the table: the first session in use from `session` on, looking at no more than
  // `bound` that are not (then the next one to go on from). capacity().total() at the end.
  SessionId FirstInUse(SessionId session, uint32_t bound) const;
  TimerWheel& timers() { return timers_; }

 private:
  static constexpr int kBucketEntries = 8;
  static constexpr int kMostMoves = 2;
  struct alignas(64) Bucket {
    uint16_t signatures[kBucketEntries];
    FlowRef flows[kBucketEntries];
    uint32_t displaced;  // keys of this bucket that live in their secondary one
    uint8_t occupied;    // a bit an entry
    uint8_t reserved[11];
  };
  static_assert(sizeof(Bucket) == 64);

  class Rebuilder;
  struct Layout;
  static Layout LayoutFor(const SessionCapacity& capacity);

  // Of a wide record, of whose IPv4 addresses only the last four bytes are believed.
  static net::IpAddress AddressOf(const net::Ipv6Address& address, bool is_v4) {
    if (!is_v4) return address;
    uint32_t raw;
    std::memcpy(&raw, &address.bytes[12], 4);
    return net::Ipv4Address{net::Be32::FromRaw(raw)};
  }
  static uint16_t Signature(uint64_t hash) { return static_cast<uint16_t>(hash); }
  uint32_t PrimaryBucket(uint64_t hash) const { return Scale(static_cast<uint32_t>(hash >> 32)); }
  uint32_t SecondaryBucket(uint64_t hash) const {
    const uint32_t primary = PrimaryBucket(hash);
    const uint32_t secondary = Scale(static_cast<uint32_t>((hash >> 16) * 0x9e3779b1u));
    return secondary != primary ? secondary : (primary + 1) % bucket_count_;
  }
  uint32_t Scale(uint32_t hash) const {
    return static_cast<uint32_t>(uint64_t{hash} * bucket_count_ >> 32);
  }
  static uint32_t MatchMask(const Bucket& bucket, uint16_t signature) {
    const auto* const packed = reinterpret_cast<const __m128i*>(bucket.signatures);
    const __m128i equal =
        _mm_cmpeq_epi16(_mm_load_si128(packed), _mm_set1_epi16(static_cast<short>(signature)));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128()))) &
           bucket.occupied;
  }

  static FlowRef CandidateIn(const Bucket& bucket, uint64_t hash) {
    const uint32_t mask = MatchMask(bucket, Signature(hash));
    return mask != 0 ? bucket.flows[__builtin_ctz(mask)] : kNoFlow;
  }
  bool Matches(FlowRef flow, const net::FlowKey4& key) const {
    if (!IsWide(flow)) [[likely]]
      return narrow(flow).Matches(key);
    return (wide(flow).state.flags & kFlowKeyIsIpv4) != 0 &&
           wide(flow).Matches(net::FlowKey(key).v6());
  }
  bool Matches(FlowRef flow, const net::FlowKey6& key) const {
    return IsWide(flow) && wide(flow).Matches(key) &&
           (wide(flow).state.flags & kFlowKeyIsIpv4) == 0;
  }
  bool Matches(FlowRef flow, const net::FlowKey& key) const {
    return key.is_v4() ? Matches(flow, key.v4()) : Matches(flow, key.v6());
  }
  template <typename Key>
  FlowRef FindIn(uint32_t bucket, const Key& key, uint64_t hash) const;

  uint64_t HashOf(FlowRef flow) const;
  bool Place(uint64_t hash, FlowRef flow);
  bool PutInto(uint32_t bucket, uint64_t hash, FlowRef flow);
  bool DisplaceOneFrom(uint32_t bucket, int moves);
  void Unplace(uint64_t hash, FlowRef flow);
  static bool NeedsWide(net::Family key, net::Family rewrite) {
    return key != net::Family::kIpv4 || rewrite != net::Family::kIpv4;
  }
  SessionId Allocate(bool wide_session);
  void Free(SessionId session);
  void Fill(FlowRef flow, const Flow& description);

  SessionCapacity capacity_;
  HashSecret secret_;
  uint32_t bucket_count_;
  std::span<Bucket> buckets_;
  std::span<NarrowFlow> narrow_;
  std::span<WideFlow> wide_;
  std::span<SessionRecord> records_;
  TimerWheel timers_;
  struct Pool {
    uint32_t first_free = 0;  // session + 1
    uint32_t never_used;      // the next session of the pool that was never handed out
    uint32_t end;
  };
  Pool pools_[2];
  uint32_t size_ = 0;
  uint32_t change_count_ = 0;
};

template <typename Key>
FlowRef SessionTable::FindIn(uint32_t bucket_index, const Key& key, uint64_t hash) const {
  const Bucket& bucket = buckets_[bucket_index];
  for (uint32_t mask = MatchMask(bucket, Signature(hash)); mask != 0; mask &= mask - 1) {
    const FlowRef flow = bucket.flows[__builtin_ctz(mask)];
    if (Matches(flow, key)) return flow;
  }
  return kNoFlow;
}

template <typename Key>
FlowRef SessionTable::Find(const Key& key, uint64_t hash) const {
  const uint32_t primary = PrimaryBucket(hash);
  const FlowRef flow = FindIn(primary, key, hash);
  if (flow != kNoFlow || buckets_[primary].displaced == 0) [[likely]]
    return flow;
  return FindIn(SecondaryBucket(hash), key, hash);
}

inline net::FlowKey SessionTable::KeyOf(FlowRef flow) const {
  if (!IsWide(flow)) {
    const NarrowFlow& record = narrow(flow);
    return {{record.source, record.source_port},
            {record.destination, record.destination_port},
            record.state.protocol};
  }
  const WideFlow& record = wide(flow);
  const bool is_v4 = record.state.flags & kFlowKeyIsIpv4;
  return {{AddressOf(record.source, is_v4), record.source_port},
          {AddressOf(record.destination, is_v4), record.destination_port},
          record.state.protocol};
}

inline net::FlowKey SessionTable::RewriteOf(FlowRef flow) const {
  if (!IsWide(flow)) {
    const NarrowFlow& record = narrow(flow);
    return {{record.new_source, record.new_source_port},
            {record.new_destination, record.new_destination_port},
            record.state.protocol};
  }
  const WideFlow& record = wide(flow);
  const bool is_v4 = record.state.flags & kFlowRewriteIsIpv4;
  return {{AddressOf(record.new_source, is_v4), record.new_source_port},
          {AddressOf(record.new_destination, is_v4), record.new_destination_port},
          record.state.protocol};
}

}  // namespace steelyard::core
