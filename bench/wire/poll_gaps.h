// SPDX-License-Identifier: Apache-2.0
//
// PollGaps: how long the polling thread took from each poll of a port to the next, all that it did
// in between included: by the clock, and by its own processor time, from which the time is left out
// that the kernel gave to other threads. Page faults, misses and interrupts remain in that.
//
// Counts only rise, so that the difference of two readings tells of the time between them, the
// longest gap included. The polling thread counts, any thread may read.
#pragma once

#include <time.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/counter.h"

namespace steelyard::wire {

// Counts of values by their size, in classes of the same width relative to it: 32 for every
// doubling, so that a value is known to 3%.
class LogHistogram {
 public:
  void Add(uint64_t value) { counts_[std::min(ClassOf(value), kClasses - 1)].Add(1); }

  // For every class that has any, with its largest value and its count.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (size_t i = 0; i < kClasses; ++i)
      if (const uint64_t count = counts_[i].value(); count != 0) visit(LargestOf(i), count);
  }

 private:
  static constexpr size_t kPerDoubling = 32;
  static constexpr size_t kClasses = 40 * kPerDoubling;

  // The leading six bits are kept. Values below 64 have a class each.
  static size_t ClassOf(uint64_t value) {
    const size_t dropped_bits = std::max<size_t>(std::bit_width(value / kPerDoubling), 1) - 1;
    return dropped_bits * kPerDoubling + (value >> dropped_bits);
  }
  static uint64_t LargestOf(size_t index) {
    const size_t dropped_bits = std::max<size_t>(index / kPerDoubling, 1) - 1;
    const uint64_t leading = index - dropped_bits * kPerDoubling;
    return ((leading + 1) << dropped_bits) - 1;
  }

  std::array<core::Counter, kClasses> counts_;
};

class PollGaps {
 public:
  explicit PollGaps(uint64_t ticks_per_second)
      : ticks_per_second_(static_cast<double>(ticks_per_second)),
        long_gap_(ticks_per_second / 50'000),
        reading_interval_(ticks_per_second / 1000) {}

  // The polling thread, at every poll.
  void Poll(uint64_t now_ticks) {
    const uint64_t gap = now_ticks - last_poll_;
    uint64_t interrupted = 0;
    if (gap > long_gap_ || now_ticks - last_reading_ > reading_interval_) [[unlikely]] {
      const uint64_t not_working = ReadTimeNotWorking(now_ticks);
      if (gap > long_gap_) interrupted = std::min(not_working, gap);
    }
    if (last_poll_ != 0) [[likely]] {
      by_clock_.Add(gap);
      by_processor_.Add(gap - interrupted);
    }
    last_poll_ = now_ticks;
  }

  const LogHistogram& by_clock() const { return by_clock_; }  // in ticks
  const LogHistogram& by_processor() const { return by_processor_; }

 private:
  // Since the last call. It costs a system call, so only a long gap is looked into; the calls at
  // intervals keep what shorter ones were interrupted for from being taken for a later one's.
  uint64_t ReadTimeNotWorking(uint64_t now_ticks) {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    const auto thread_ticks = static_cast<uint64_t>(
        (static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9) *
        ticks_per_second_);
    const uint64_t elapsed = now_ticks - last_reading_;
    const uint64_t worked = std::min(thread_ticks - last_thread_ticks_, elapsed);
    last_reading_ = now_ticks;
    last_thread_ticks_ = thread_ticks;
    return elapsed - worked;
  }

  const double ticks_per_second_;
  const uint64_t long_gap_;          // 20 µs
  const uint64_t reading_interval_;  // 1 ms
  uint64_t last_poll_ = 0;
  uint64_t last_reading_ = 0, last_thread_ticks_ = 0;
  LogHistogram by_clock_, by_processor_;
};

}  // namespace steelyard::wire
