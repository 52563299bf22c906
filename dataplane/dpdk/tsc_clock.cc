// SPDX-License-Identifier: Apache-2.0
#include "dpdk/tsc_clock.h"

#include <rte_config.h>
#include <rte_cycles.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace steelyard::dpdk {
namespace {

constexpr double kNsPerSecond = 1e9;

}  // namespace

TscClock::Sample TscClock::Read() {
  timespec boot;
  clock_gettime(CLOCK_BOOTTIME, &boot);
  return {rte_rdtsc(),
          static_cast<uint64_t>(boot.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(boot.tv_nsec)};
}

TscClock::TscClock() : first_(Read()) {
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  Adjust();
  last_ns_ = anchor_.boot_ns;
  adjust_after_cycles_ = static_cast<uint64_t>(kNsPerSecond / ns_per_cycle_);
}

uint64_t TscClock::NowNs() {
  const uint64_t cycles = rte_rdtsc();
  if (cycles - anchor_.cycles >= adjust_after_cycles_) Adjust();
  last_ns_ = std::max(last_ns_, Extrapolate(cycles));
  return last_ns_;
}

uint64_t TscClock::Extrapolate(uint64_t cycles) const {
  const auto since_anchor = static_cast<int64_t>(cycles - anchor_.cycles);
  return anchor_.boot_ns + static_cast<uint64_t>(static_cast<int64_t>(
                               static_cast<double>(since_anchor) * ns_per_cycle_));
}

void TscClock::Adjust() {
  anchor_ = Read();
  ns_per_cycle_ = static_cast<double>(anchor_.boot_ns - first_.boot_ns) /
                  static_cast<double>(anchor_.cycles - first_.cycles);
}

}  // namespace steelyard::dpdk
