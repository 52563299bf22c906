// SPDX-License-Identifier: Apache-2.0
#include "dpdk/tsc_clock.h"

#include <gtest/gtest.h>
#include <time.h>

namespace steelyard::dpdk {
namespace {

int64_t BootTimeNs() {
  timespec boot;
  clock_gettime(CLOCK_BOOTTIME, &boot);
  return boot.tv_sec * 1'000'000'000 + boot.tv_nsec;
}

// Long enough to pass one adjustment.
TEST(TscClock, FollowsBootTimeAndNeverRunsBackwards) {
  TscClock clock;
  const int64_t start = BootTimeNs();
  uint64_t last = 0;
  uint64_t steps_back = 0;
  int64_t best_error = INT64_MAX;
  while (BootTimeNs() - start < 1'300'000'000) {
    const int64_t before = BootTimeNs();
    const uint64_t now = clock.NowNs();
    const int64_t after = BootTimeNs();
    steps_back += now < last;
    last = now;
    if (after - start < 1'200'000'000 || after - before > 100'000) continue;
    best_error = std::min(best_error, std::abs(static_cast<int64_t>(now) - (before + after) / 2));
  }
  EXPECT_EQ(steps_back, 0u);
  EXPECT_LT(best_error, 100'000);
}

}  // namespace
}  // namespace steelyard::dpdk
