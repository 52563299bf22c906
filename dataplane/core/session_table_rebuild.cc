// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "core/session_table.h"

namespace steelyard::core {

// One walk over records and flows in their order, which the CPU fetches ahead by itself. Buckets
// are met in no order: they are prefetched for a batch of keys before any of these is placed.
class SessionTable::Rebuilder {
 public:
  Rebuilder(SessionTable& table, const std::function<bool(SessionId)>& keep)
      : table_(table), keep_(keep) {}

  Rebuilt Run() {
    std::memset(static_cast<void*>(table_.buckets_.data()), 0, table_.buckets_.size_bytes());
    table_.timers_.Clear();
    table_.size_ = 0;
    ++table_.change_count_;
    WalkPool(table_.pools_[0], 0);
    WalkPool(table_.pools_[1], table_.capacity_.narrow);
    return rebuilt_;
  }

 private:
  static constexpr uint32_t kBatch = 32;  // sessions

  struct Waiting {
    SessionId session;
    uint64_t forward_hash, reverse_hash;
  };

  void WalkPool(Pool& pool, SessionId first) {
    pool.first_free = 0;
    pool.never_used = first;
    for (SessionId session = first; session < pool.end; ++session) {
      if (!Keeps(session)) continue;
      LinkUnused(pool, pool.never_used, session);
      pool.never_used = session + 1;
      Await(session);
    }
    PlaceAll();
  }

  bool Keeps(SessionId session) {
    SessionRecord& record = table_.records_[session];
    if (!record.in_use()) return false;
    if (record.stage == SessionStage::kComplete) {
      if (keep_(session)) return true;
      ++rebuilt_.refused;
    } else {
      ++rebuilt_.incomplete;
    }
    record = {};
    return false;
  }

  void LinkUnused(Pool& pool, SessionId begin, SessionId end) {
    for (SessionId session = end; session-- > begin;) {
      table_.records_[session] = {.next_free = pool.first_free};
      pool.first_free = session + 1;
    }
  }

  void Await(SessionId session) {
    SessionRecord& record = table_.records_[session];
    record.child_count = 0;
    Waiting& waiting = batch_[waiting_count_++];
    waiting = {session, Prefetch(RefOf(session, Direction::kForward)), 0};
    if (IsFoundByReverseKey(record.kind))
      waiting.reverse_hash = Prefetch(RefOf(session, Direction::kReverse));
    if (waiting_count_ == kBatch) PlaceAll();
  }

  uint64_t Prefetch(FlowRef flow) const {
    const uint64_t hash = HashOf(flow);
    __builtin_prefetch(&table_.buckets_[table_.PrimaryBucket(hash)], 1);
    return hash;
  }

  uint64_t HashOf(FlowRef flow) const {
    if (table_.IsWide(flow)) return table_.HashOf(flow);
    const NarrowFlow& record = table_.narrow(flow);
    return KeyHash(net::FlowKey4{record.source, record.destination, record.source_port,
                                 record.destination_port, record.state.protocol},
                   table_.secret_);
  }

  void PlaceAll() {
    for (uint32_t i = 0; i < waiting_count_; ++i) {
      if (Place(batch_[i])) {
        ++table_.size_;
        ++rebuilt_.kept;
      } else {
        table_.Free(batch_[i].session);
        ++rebuilt_.unplaced;
      }
    }
    waiting_count_ = 0;
  }

  bool Place(const Waiting& waiting) {
    const FlowRef forward = RefOf(waiting.session, Direction::kForward);
    if (!PlaceOne(waiting.forward_hash, forward)) return false;
    if (!IsFoundByReverseKey(table_.records_[waiting.session].kind)) return true;
    if (PlaceOne(waiting.reverse_hash, OtherDirection(forward))) return true;
    table_.Unplace(waiting.forward_hash, forward);
    return false;
  }

  bool PlaceOne(uint64_t hash, FlowRef flow) {
    return !IsThere(hash, flow) && table_.Place(hash, flow);
  }

  bool IsThere(uint64_t hash, FlowRef flow) const {
    if (table_.Candidate(hash) == kNoFlow &&
        table_.buckets_[table_.PrimaryBucket(hash)].displaced == 0) [[likely]]
      return false;
    return table_.Find(table_.KeyOf(flow), hash) != kNoFlow;
  }

  SessionTable& table_;
  const std::function<bool(SessionId)>& keep_;
  std::array<Waiting, kBatch> batch_;
  uint32_t waiting_count_ = 0;
  Rebuilt rebuilt_;
};

SessionTable::Rebuilt SessionTable::Rebuild(const std::function<bool(SessionId)>& keep) {
  return Rebuilder(*this, keep).Run();
}

}  // namespace steelyard::core
