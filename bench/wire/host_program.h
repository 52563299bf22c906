// SPDX-License-Identifier: Apache-2.0
//
// The DPDK program that has loaded a shared object of this folder (EAL's -d): when its ports run,
// what its polling thread has spent, and where the object's own thread may be.
#pragma once

#include <time.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace steelyard::wire {

inline constexpr uint16_t kClientPort = 0;
inline constexpr uint16_t kBackendPort = 1;
inline constexpr uint16_t kQueue = 0;
// Of what is looked at and of what is told.
inline constexpr std::chrono::milliseconds kPeriod{10};

uint64_t NanosecondsOf(clockid_t clock);

// Processor time of the one thread that polls. Any thread may read it.
class PollingThread {
 public:
  bool is_known() const { return clock_.load(std::memory_order_relaxed) != -1; }
  // 0 while it is not known.
  uint64_t cpu_ns() const;
  // The calling thread is the one.
  void NoteSelf();

 private:
  std::atomic<clockid_t> clock_{-1};
};

// testpmd empties its ports from there before it forwards.
bool IsMainThread();

bool BothPortsRun();

// The calling thread stays out of the way of the cores that poll.
void MoveToMainCore();

// Readers find all of it or what was there before.
void WriteWhole(const std::string& name, const std::string& text);

}  // namespace steelyard::wire
