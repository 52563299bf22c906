// SPDX-License-Identifier: Apache-2.0
//
// TscClock: nanoseconds of CLOCK_BOOTTIME for the price of reading the CPU's time stamp counter.
// The counter's rate is measured all along against the kernel's clock, once a second and without a
// system call, so the two do not drift apart over days, and a stamp means the same to the next
// process of this boot. One object a worker.
#pragma once

#include <cstdint>

#include "worker/clock.h"

namespace steelyard::dpdk {

class TscClock final : public worker::Clock {
 public:
  TscClock();  // takes 10 ms to measure the rate
  uint64_t NowNs() override;

 private:
  struct Sample {
    uint64_t cycles;
    uint64_t boot_ns;
  };
  static Sample Read();
  // Time at `cycles` by the present estimate.
  uint64_t Extrapolate(uint64_t cycles) const;
  void Adjust();

  const Sample first_;
  Sample anchor_;
  double ns_per_cycle_;
  uint64_t adjust_after_cycles_;  // counted from the anchor
  uint64_t last_ns_;
};

}  // namespace steelyard::dpdk
