// SPDX-License-Identifier: Apache-2.0
//
// What a worker keeps beside its session table: counters, a line of counters for every backend, a
// few for every service, scheduler cursors, datagrams that are being put together. Written by the
// worker alone; counters may be read by anyone at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "core/counter.h"
#include "core/fragment/fragmenter.h"
#include "core/fragment/reassembler.h"
#include "core/network.h"
#include "core/path_mtu.h"
#include "core/service.h"
#include "core/session.h"
#include "core/timer_wheel.h"
#include "core/token_bucket.h"

namespace steelyard::core {

struct alignas(64) BackendCounters {
  struct Traffic {
    Counter packets;
    Counter bytes;
  };
  Counter sessions_created;
  Counter sessions_ended;

  const Traffic& to_backend() const { return traffic_[0]; }
  const Traffic& to_client() const { return traffic_[1]; }
  void Count(Direction direction, uint32_t bytes) {
    Traffic& traffic = traffic_[static_cast<size_t>(direction)];
    traffic.packets.Add(1);
    traffic.bytes.Add(bytes);
  }
  uint64_t sessions_active() const { return sessions_created.value() - sessions_ended.value(); }

 private:
  std::array<Traffic, 2> traffic_;  // by Direction
};

// Opening and ending sessions only; packets are counted by backend.
struct ServiceCounters {
  Counter sessions_created;
  Counter sessions_ended;
  Counter session_limit_packets;
  Counter sessions_not_remembered;  // by persistence, the table being full
  // Choice of local ports (core/forward/local_port.h).
  Counter local_port_searches;
  Counter local_port_probes;
  Counter local_port_long_searches;
  Counter local_ports_exhausted_packets;

  uint64_t sessions_active() const { return sessions_created.value() - sessions_ended.value(); }
};

// Next hops that a worker found no neighbour for: a ring that the worker fills and the main thread
// empties. Full means that the same will be asked again by a later packet.
class MissingNeighbours {
 public:
  void Add(const Neighbour& neighbour) {
    const uint32_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == kCapacity) return;
    ring_[head % kCapacity] = neighbour;
    head_.store(head + 1, std::memory_order_release);
  }
  template <typename Take>
  void TakeAll(Take&& take) {
    uint32_t tail = tail_.load(std::memory_order_relaxed);
    for (const uint32_t head = head_.load(std::memory_order_acquire); tail != head; ++tail)
      take(ring_[tail % kCapacity]);
    tail_.store(tail, std::memory_order_release);
  }

 private:
  static constexpr uint32_t kCapacity = 64;
  std::array<Neighbour, kCapacity> ring_;
  alignas(64) std::atomic<uint32_t> head_{0};
  alignas(64) std::atomic<uint32_t> tail_{0};
};

// Remote endpoints that no local port was found free towards, for a while: refusing one more flow
// then costs one look here. A port that comes free meanwhile is found that much later.
class ExhaustedRemotes {
 public:
  static constexpr uint32_t kRememberedMs = 100;

  bool Contains(uint64_t hash, uint32_t now_ms) const {
    const Entry& entry = entries_[hash % kCapacity];
    return entry.hash == hash && TimeBefore(now_ms, entry.until_ms);
  }
  void Add(uint64_t hash, uint32_t now_ms) {
    entries_[hash % kCapacity] = {hash, now_ms + kRememberedMs};
  }

 private:
  struct Entry {
    uint64_t hash = 0;
    uint32_t until_ms = 0;
  };
  static constexpr size_t kCapacity = 1024;
  std::array<Entry, kCapacity> entries_;
};

// ICMP errors of one worker (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)). The rate is the
// Linux kernel's (net.ipv4.icmp_msgs_per_sec): a few hundred kilobytes a second at most, and every
// new sender needs but one to learn a path's MTU. The burst lets ten of them send their first ten
// segments (RFC 6928) and be answered each time.
inline constexpr uint32_t kIcmpErrorsPerSecond = 1000;
inline constexpr uint32_t kIcmpErrorsAtOnce = 100;

struct WorkerState {
  explicit WorkerState(uint64_t random_seed)
      : backends(kMaxBackends),
        services(kMaxServices),
        backend_shares(kMaxBackends),
        service_shares(kMaxServices),
        scheduler_cursors(kMaxServices),
        new_session_buckets(kMaxServices),
        fragment_identification(random_seed),
        random(random_seed) {}

  WorkerCounters counters;
  std::vector<BackendCounters> backends;      // by BackendSlot
  std::vector<ServiceCounters> services;      // by ServiceSlot
  std::vector<SessionShare> backend_shares;   // by BackendSlot, written by the main thread
  std::vector<SessionShare> service_shares;   // by ServiceSlot, written by the main thread
  std::vector<uint32_t> scheduler_cursors;    // by ServiceSlot
  std::vector<uint64_t> new_session_buckets;  // by ServiceSlot, for TokenBucket::TakeFrom
  MissingNeighbours missing_neighbours;
  ExhaustedRemotes exhausted_remotes;
  PathMtus path_mtus;
  uint16_t ip_identification = 0;  // of the next packet of the box's own that may be fragmented
  TokenBucket icmp_errors{kIcmpErrorsPerSecond, kIcmpErrorsAtOnce};
  Reassembler* reassembler = nullptr;  // outlives this; none: fragments are dropped
  FragmentIdentification fragment_identification;
  std::minstd_rand random;  // where to begin the search for a local port
};

// A session has come or gone; redirects are counted nowhere.
inline void CountCreated(SessionKind kind, ServiceSlot service, BackendSlot backend,
                         WorkerState& worker) {
  if (kind == SessionKind::kRedirect) return;
  if (kind == SessionKind::kTemplate) return worker.counters.templates_created.Add(1);
  worker.counters.sessions_created.Add(1);
  worker.services[service].sessions_created.Add(1);
  worker.backends[backend].sessions_created.Add(1);
}
inline void CountEnded(SessionKind kind, ServiceSlot service, BackendSlot backend,
                       WorkerState& worker) {
  if (kind == SessionKind::kRedirect) return;
  if (kind == SessionKind::kTemplate) return worker.counters.templates_ended.Add(1);
  worker.services[service].sessions_ended.Add(1);
  worker.backends[backend].sessions_ended.Add(1);
  worker.counters.sessions_expired.Add(1);
}

}  // namespace steelyard::core
