// SPDX-License-Identifier: Apache-2.0
//
// The time that a worker's burst is stamped with. One object a worker, read by that worker alone,
// once an iteration; everything below gets the value as an argument.
#pragma once

#include <cstdint>

namespace steelyard::worker {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since boot, suspension included (CLOCK_BOOTTIME), so that a stamp keeps its meaning
  // for the next process of this boot. Never runs backwards.
  virtual uint64_t NowNs() = 0;
};

}  // namespace steelyard::worker
