// SPDX-License-Identifier: Apache-2.0
#include "core/session_table.h"

#include <algorithm>
#include <atomic>

#include "net/checksum.h"

namespace steelyard::core {

using net::FlowKey;
using net::FlowKey6;

struct SessionTable::Layout {
  uint32_t bucket_count;
  size_t narrow, wide, records, links, heads, end;  // byte offsets; buckets are at 0
};

SessionTable::Layout SessionTable::LayoutFor(const SessionCapacity& capacity) {
  const auto line_up = [](size_t bytes) { return (bytes + 63) / 64 * 64; };
  Layout layout;
  // Two keys a session, buckets seven tenths full when the table is: 3% of the keys are displaced.
  layout.bucket_count =
      static_cast<uint32_t>(uint64_t{capacity.total()} * 2 * 10 / 7 / kBucketEntries) + 4;
  layout.narrow = sizeof(Bucket) * layout.bucket_count;
  layout.wide = layout.narrow + sizeof(NarrowFlow) * 2 * capacity.narrow;
  layout.records = layout.wide + sizeof(WideFlow) * 2 * capacity.wide;
  layout.links = line_up(layout.records + sizeof(SessionRecord) * capacity.total());
  layout.heads = line_up(layout.links + sizeof(TimerLink) * capacity.total());
  layout.end = line_up(layout.heads + sizeof(uint32_t) * TimerWheel::kSlots);
  return layout;
}

size_t SessionTable::RequiredBytes(const SessionCapacity& capacity) {
  return LayoutFor(capacity).end;
}

namespace {
template <typename T>
std::span<T> SpanAt(std::span<std::byte> memory, size_t offset, size_t count) {
  return {reinterpret_cast<T*>(memory.data() + offset), count};
}
}  // namespace

SessionTable::SessionTable(std::span<std::byte> memory, const SessionCapacity& capacity,
                           const HashSecret& secret)
    : capacity_(capacity),
      secret_(secret),
      bucket_count_(LayoutFor(capacity).bucket_count),
      buckets_(SpanAt<Bucket>(memory, 0, bucket_count_)),
      narrow_(SpanAt<NarrowFlow>(memory, LayoutFor(capacity).narrow, size_t{2} * capacity.narrow)),
      wide_(SpanAt<WideFlow>(memory, LayoutFor(capacity).wide, size_t{2} * capacity.wide)),
      records_(SpanAt<SessionRecord>(memory, LayoutFor(capacity).records, capacity.total())),
      timers_(SpanAt<uint32_t>(memory, LayoutFor(capacity).heads, TimerWheel::kSlots),
              SpanAt<TimerLink>(memory, LayoutFor(capacity).links, capacity.total())),
      pools_{{.never_used = 0, .end = capacity.narrow},
             {.never_used = capacity.narrow, .end = capacity.total()}} {}

// --- placing -----------------------------------------------------------------------------------

uint64_t SessionTable::HashOf(FlowRef flow) const {
  return KeyHash(KeyOf(flow), secret_);
}

bool SessionTable::PutInto(uint32_t bucket_index, uint64_t hash, FlowRef flow) {
  Bucket& bucket = buckets_[bucket_index];
  if (bucket.occupied == 0xff) return false;
  const int entry = __builtin_ctz(static_cast<uint8_t>(~bucket.occupied));
  bucket.signatures[entry] = Signature(hash);
  bucket.flows[entry] = flow;
  bucket.occupied = static_cast<uint8_t>(bucket.occupied | 1u << entry);
  return true;
}

// Makes room in a full bucket by moving one entry to its other bucket, and where all of those are
// full, `moves` deep, one out of them first.
bool SessionTable::DisplaceOneFrom(uint32_t bucket_index, int moves) {
  Bucket& bucket = buckets_[bucket_index];
  for (int entry = 0; entry < kBucketEntries; ++entry) {
    const FlowRef flow = bucket.flows[entry];
    const uint64_t hash = HashOf(flow);
    const uint32_t primary = PrimaryBucket(hash);
    const bool leaves_home = primary == bucket_index;
    const uint32_t other = leaves_home ? SecondaryBucket(hash) : primary;
    if (!PutInto(other, hash, flow) &&
        (moves == 1 || !DisplaceOneFrom(other, moves - 1) || !PutInto(other, hash, flow)))
      continue;
    bucket.occupied = static_cast<uint8_t>(bucket.occupied & ~(1u << entry));
    buckets_[primary].displaced += leaves_home ? 1 : -1;
    return true;
  }
  return false;
}

bool SessionTable::Place(uint64_t hash, FlowRef flow) {
  const uint32_t primary = PrimaryBucket(hash);
  if (PutInto(primary, hash, flow)) [[likely]]
    return true;
  const uint32_t secondary = SecondaryBucket(hash);
  if (PutInto(secondary, hash, flow)) {
    ++buckets_[primary].displaced;
    return true;
  }
  // Fewest moves first: nearly always one is enough.
  for (int moves = 1; moves <= kMostMoves; ++moves)
    if (DisplaceOneFrom(primary, moves)) return PutInto(primary, hash, flow);
  return false;
}

void SessionTable::Unplace(uint64_t hash, FlowRef flow) {
  const uint32_t primary = PrimaryBucket(hash);
  for (const uint32_t bucket_index : {primary, SecondaryBucket(hash)}) {
    Bucket& bucket = buckets_[bucket_index];
    for (uint32_t mask = MatchMask(bucket, Signature(hash)); mask != 0; mask &= mask - 1) {
      const int entry = __builtin_ctz(mask);
      if (bucket.flows[entry] != flow) continue;
      bucket.occupied = static_cast<uint8_t>(bucket.occupied & ~(1u << entry));
      if (bucket_index != primary) --buckets_[primary].displaced;
      return;
    }
  }
}

// --- opening and ending ------------------------------------------------------------------------

SessionId SessionTable::Allocate(bool wide_session) {
  Pool& pool = pools_[wide_session];
  if (pool.first_free != 0) {
    const SessionId session = pool.first_free - 1;
    pool.first_free = records_[session].next_free;
    return session;
  }
  return pool.never_used < pool.end ? pool.never_used++ : kNoSession;
}

bool SessionTable::HasRoomFor(net::Family key, net::Family rewrite) const {
  const Pool& pool = pools_[NeedsWide(key, rewrite)];
  return pool.first_free != 0 || pool.never_used < pool.end;
}

// The stage first, then the rest: what is left half freed must not count as complete.
void SessionTable::Free(SessionId session) {
  std::atomic_ref(records_[session].stage).store(SessionStage::kUnused, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  Pool& pool = pools_[session >= capacity_.narrow];
  records_[session] = {.next_free = pool.first_free};
  pool.first_free = session + 1;
}

void SessionTable::Fill(FlowRef flow, const Flow& description) {
  const FlowKey& key = description.key;
  const FlowKey& rewrite = description.rewrite;
  FlowState fresh{};
  fresh.protocol = key.protocol;
  fresh.flags = static_cast<uint8_t>((key.is_v4() ? kFlowKeyIsIpv4 : 0) |
                                     (rewrite.is_v4() ? kFlowRewriteIsIpv4 : 0));
  fresh.address_checksum_delta = net::ChecksumDelta()
                                     .Replace(key.source.address, rewrite.source.address)
                                     .Replace(key.destination.address, rewrite.destination.address)
                                     .folded();
  if (IsWide(flow)) {
    wide(flow) = {fresh,
                  key.source.address.v6(),
                  key.destination.address.v6(),
                  key.source.port,
                  key.destination.port,
                  rewrite.source.address.v6(),
                  rewrite.destination.address.v6(),
                  rewrite.source.port,
                  rewrite.destination.port};
  } else {
    narrow(flow) = {fresh,
                    key.source.address.v4(),
                    key.destination.address.v4(),
                    key.source.port,
                    key.destination.port,
                    rewrite.source.address.v4(),
                    rewrite.destination.address.v4(),
                    rewrite.source.port,
                    rewrite.destination.port};
  }
}

SessionId SessionTable::Insert(const Flow& forward, const Flow& reverse, SessionKind kind) {
  const SessionId session = Allocate(
      NeedsWide(forward.key.source.address.family(), forward.rewrite.source.address.family()));
  if (session == kNoSession) return kNoSession;
  const FlowRef forward_ref = RefOf(session, Direction::kForward);
  const FlowRef reverse_ref = RefOf(session, Direction::kReverse);
  Fill(forward_ref, forward);
  Fill(reverse_ref, reverse);
  const uint64_t forward_hash = KeyHash(forward.key, secret_);
  if (!Place(forward_hash, forward_ref)) {
    Free(session);
    return kNoSession;
  }
  if (IsFoundByReverseKey(kind) && !Place(KeyHash(reverse.key, secret_), reverse_ref)) {
    Unplace(forward_hash, forward_ref);
    Free(session);
    return kNoSession;
  }
  records_[session] = {.stage = SessionStage::kOpening, .kind = kind};
  ++size_;
  ++change_count_;
  return session;
}

void SessionTable::Complete(SessionId session) {
  std::atomic_ref(records_[session].stage)
      .store(SessionStage::kComplete, std::memory_order_release);
}

void SessionTable::Remove(SessionId session) {
  for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
    if (direction == Direction::kReverse && !IsFoundByReverseKey(records_[session].kind)) break;
    const FlowRef flow = RefOf(session, direction);
    Unplace(HashOf(flow), flow);
  }
  Free(session);
  --size_;
  ++change_count_;
}

SessionId SessionTable::FirstInUse(SessionId session, uint32_t bound) const {
  for (; bound > 0 && session < capacity_.total(); --bound) {
    // What a pool never handed out is not worth touching.
    const Pool& pool = pools_[session >= capacity_.narrow];
    if (session >= pool.never_used) {
      session = pool.end;
    } else if (records_[session].in_use()) {
      return session;
    } else {
      ++session;
    }
  }
  return session;
}

}  // namespace steelyard::core
