// SPDX-License-Identifier: Apache-2.0
//
// SnapshotPublisher: the one pointer through which workers see their configuration, and the proof
// that nobody reads an old snapshot any more before it is freed.
//
// Quiescent-state reclamation, with the pointer itself as the epoch: at the top of an iteration,
// holding nothing of the one before, a worker loads the current pointer and writes what it saw into
// its own cache line. When every worker's line shows the current snapshot, no worker can still hold
// an earlier one, and none can come back to it. In the steady state a pin is two loads and no
// store. An address cannot be taken for a later snapshot's: it is not freed, so not reused, before
// all have moved on.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "core/snapshot.h"

namespace steelyard::worker {

template <typename Snapshot>
class Publisher {
 public:
  // Main thread, before any worker runs. All `worker_count` workers count as readers of `first`
  // from here on, until they Leave.
  Publisher(std::unique_ptr<const Snapshot> first, uint32_t worker_count)
      : current_(first.get()), readers_(worker_count), owned_(std::move(first)) {
    for (Reader& reader : readers_) reader.seen.store(owned_.get(), std::memory_order_relaxed);
  }
  ~Publisher() = default;  // once every worker has left or been joined
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  struct Report {
    bool complete = false;  // every worker has the new snapshot; all earlier ones are freed
    uint64_t wait_ns = 0;
    uint32_t late_worker = 0;  // when not complete: the first worker that has not passed yet
  };

  // Main thread. Workers see `next` from their next iteration on; returns when all of them do, or
  // after `bound`. Then `next` is in force all the same, and what it replaced is kept until a later
  // Publish completes.
  Report Publish(std::unique_ptr<const Snapshot> next,
                 std::chrono::nanoseconds bound = std::chrono::seconds(1)) {
    const SteadyClock::time_point start = SteadyClock::now();
    retired_.push_back(std::exchange(owned_, std::move(next)));
    current_.store(owned_.get(), std::memory_order_release);

    Report report;
    while (report.late_worker < readers_.size() && SteadyClock::now() - start < bound) {
      if (HasPassed(readers_[report.late_worker])) {
        ++report.late_worker;
      } else {
        std::this_thread::sleep_for(kCheckInterval);
      }
    }
    report.complete = report.late_worker == readers_.size();
    if (report.complete) retired_.clear();
    report.wait_ns = static_cast<uint64_t>((SteadyClock::now() - start).count());
    return report;
  }

  // Main thread; valid until the next Publish.
  const Snapshot& current() const { return *owned_; }

  // That worker's thread: its quiescent point. The result is valid until its next Pin or Leave.
  const Snapshot& Pin(uint32_t worker) {
    const Snapshot* snapshot = current_.load(std::memory_order_acquire);
    std::atomic<const Snapshot*>& seen = readers_[worker].seen;
    if (seen.load(std::memory_order_relaxed) != snapshot)
      seen.store(snapshot, std::memory_order_release);
    return *snapshot;
  }

  // That worker's thread, as its last call: it reads no snapshot any more.
  void Leave(uint32_t worker) { readers_[worker].seen.store(nullptr, std::memory_order_release); }

 private:
  using SteadyClock = std::chrono::steady_clock;

  struct alignas(64) Reader {
    std::atomic<const Snapshot*> seen;  // written by the worker, read by the main thread
  };

  // An iteration is far shorter than this; sleeping keeps the main core free meanwhile.
  static constexpr auto kCheckInterval = std::chrono::microseconds(5);

  bool HasPassed(const Reader& reader) const {
    const Snapshot* seen = reader.seen.load(std::memory_order_acquire);
    return seen == owned_.get() || seen == nullptr;
  }

  alignas(64) std::atomic<const Snapshot*> current_;  // written by the main thread
  alignas(64) std::vector<Reader> readers_;
  std::unique_ptr<const Snapshot> owned_;                 // what current_ points to
  std::vector<std::unique_ptr<const Snapshot>> retired_;  // replaced, perhaps still read
};

using SnapshotPublisher = Publisher<core::Snapshot>;

}  // namespace steelyard::worker
