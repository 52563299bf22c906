// SPDX-License-Identifier: Apache-2.0
//
// Handoff: packets that arrived at one worker and belong to another, passed on in bursts. One ring
// for each pair of workers, with one producer and one consumer (Lamport, "Specifying Concurrent
// Program Modules", 1983): no lock, no atomic read-modify-write, and each side looks at the other's
// index only when its own copy of it says full or empty, so that a line moves between cores once a
// burst and not once a packet.
//
// A ring carries views and driver handles, never packet bytes. A buffer belongs to the worker that
// took it out. A full ring takes no more: the producer drops, since waiting for another worker
// could make two wait for each other.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/burst.h"

namespace steelyard::worker {

struct HandedOff {
  net::Packet packet;
  void* buffer;
  core::PortId in_port;
  core::Steered steered;
};
static_assert(sizeof(HandedOff) == 32, "two a cache line");

class HandoffRing {
 public:
  static constexpr uint32_t kCapacity = 1024;

  // The producer. Takes what fits, in order, and returns how many that was.
  uint32_t Push(const core::Burst& burst, std::span<const uint8_t> indices) {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - seen_head_ + indices.size() > kCapacity)
      seen_head_ = head_.load(std::memory_order_acquire);
    const auto count =
        std::min(static_cast<uint32_t>(indices.size()), kCapacity - (tail - seen_head_));
    for (uint32_t n = 0; n < count; ++n) {
      const uint8_t i = indices[n];
      // Field by field: GCC puts a whole entry together on the stack, and reading it back from
      // there waits for all earlier stores, each to a line that the consumer's core has.
      HandedOff& entry = entries_[(tail + n) % kCapacity];
      entry.packet = burst.packet[i];
      entry.buffer = burst.buffer[i];
      entry.in_port = burst.in_port;
      entry.steered = burst.steered[i];
    }
    tail_.store(tail + count, std::memory_order_release);
    return count;
  }

  // The consumer. Makes `burst` one of the oldest packets, all of one port; count 0: there are
  // none.
  void Pop(core::Burst& burst) {
    burst.count = 0;
    const uint32_t head = head_.load(std::memory_order_relaxed);
    if (seen_tail_ == head) seen_tail_ = tail_.load(std::memory_order_acquire);
    if (seen_tail_ == head) return;
    burst.in_port = entries_[head % kCapacity].in_port;
    uint32_t next = head;
    for (; next != seen_tail_ && burst.count < core::kBurstCapacity; ++next) {
      const HandedOff& entry = entries_[next % kCapacity];
      if (entry.in_port != burst.in_port) break;
      burst.packet[burst.count] = entry.packet;
      burst.buffer[burst.count] = entry.buffer;
      burst.steered[burst.count] = entry.steered;
      ++burst.count;
    }
    head_.store(next, std::memory_order_release);
  }

 private:
  // The producer's line, the consumer's line, and what passes between them.
  alignas(64) std::atomic<uint32_t> tail_{0};
  uint32_t seen_head_ = 0;
  alignas(64) std::atomic<uint32_t> head_{0};
  uint32_t seen_tail_ = 0;
  alignas(64) std::array<HandedOff, kCapacity> entries_;
};

// All rings of the process. Made by the main thread before the workers run.
class HandoffRings {
 public:
  explicit HandoffRings(uint32_t worker_count)
      : worker_count_(worker_count),
        rings_(std::make_unique<HandoffRing[]>(size_t{worker_count} * worker_count)) {}

  uint32_t worker_count() const { return worker_count_; }
  HandoffRing& ring(uint32_t from, uint32_t to) { return rings_[from * worker_count_ + to]; }

 private:
  const uint32_t worker_count_;
  std::unique_ptr<HandoffRing[]> rings_;
};

// One worker's ends of the rings; that worker alone calls it. The rings outlive it.
class Handoff {
 public:
  Handoff(HandoffRings& rings, uint32_t worker_index)
      : rings_(&rings), worker_index_(worker_index) {}

  uint32_t worker_count() const { return rings_->worker_count(); }
  // As HandoffRing::Push and Pop.
  uint32_t Send(const core::Burst& burst, std::span<const uint8_t> indices, uint32_t to) {
    return rings_->ring(worker_index_, to).Push(burst, indices);
  }
  void Receive(uint32_t from, core::Burst& burst) { rings_->ring(from, worker_index_).Pop(burst); }

 private:
  HandoffRings* rings_;
  uint32_t worker_index_;
};

}  // namespace steelyard::worker
