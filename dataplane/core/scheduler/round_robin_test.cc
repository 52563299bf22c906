// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/scheduler/scheduler_test_support.h"

namespace steelyard::core {
namespace {

TEST(RoundRobin, ARoundHasEveryoneOnceWhateverTheWeights) {
  SchedulerUnderTest both(MakeRoundRobin, BackendsOfWeights({5, 1, 0, 1000, 2}));
  for (int round = 0; round < 5; ++round)
    for (const uint32_t turn : {0u, 1u, 3u, 4u}) EXPECT_EQ(both.Choose(), turn);
}

// The cursor outlives the configuration that it was moved under.
TEST(RoundRobin, AnyCursorWillDo) {
  SchedulerUnderTest both(MakeRoundRobin, BackendsOfWeights({2, 1}));
  for (const uint32_t cursor : {0u, 2u, 3u, 1000u, UINT32_MAX}) {
    both.cursor = cursor;
    EXPECT_LT(both.Choose(), 2u);
    EXPECT_LE(both.cursor, 2u);
  }
}

}  // namespace
}  // namespace steelyard::core
