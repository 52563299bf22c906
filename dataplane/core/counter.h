// SPDX-License-Identifier: Apache-2.0
//
// Counter: written by one thread, read by any. Both sides are relaxed atomics without a
// read-modify-write, which on every machine we build for is a plain load and store.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "net/verdict.h"

namespace steelyard::core {

class Counter {
 public:
  void Add(uint64_t amount) {  // the owning thread only
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// One worker's; written by that worker alone. Aligned so that no line is shared with another's.
struct alignas(64) WorkerCounters {
  Counter received_packets;     // from ports
  Counter reassembled_packets;  // put together from fragments
  Counter reassembly_timeouts;  // datagrams that a fragment was missing of when their time was up
  Counter fragments_sent;       // out of ports and to the kernel, of packets too big to leave whole
  std::array<Counter, net::kVerdictCount> verdicts;
  // received + reassembled + handoff_received + handoff_fragments = sum of verdicts + handoff_sent.
  Counter handoff_sent;       // to other workers, whose sessions they are of
  Counter handoff_received;   // from other workers
  Counter handoff_fragments;  // that reassembled packets were cut into to be handed off
  Counter foreign_packets;    // forwarded for a session of another's (Snapshot::checks_ownership)
  Counter kernel_received_packets;  // from twins, to be sent out of the port
  Counter kernel_dropped_packets;   // of those, not sent
  Counter icmp_errors_sent;         // of the box itself, about packets that it dropped
  Counter icmp_errors_suppressed;   // beyond the rate
  Counter sessions_created;
  Counter sessions_expired;   // removed, whatever the reason
  Counter stateless_packets;  // forwarded without a session
  Counter templates_created;
  Counter templates_ended;
  Counter polls;
  Counter busy_polls;  // that received at least one packet

  uint64_t sessions_active() const { return sessions_created.value() - sessions_expired.value(); }
};

}  // namespace steelyard::core
