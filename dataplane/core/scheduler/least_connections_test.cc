// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/scheduler/scheduler_test_support.h"
#include "packet/random.h"

namespace steelyard::core {
namespace {

uint64_t Active(const SchedulerUnderTest& both, uint32_t i) {
  return both.counters[both.backends[i].slot].sessions_active();
}

TEST(LeastConnections, NobodyHasFewerThanTheChosen) {
  test::Random random(1);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<uint32_t> weights(1 + random() % 12);
    for (uint32_t& weight : weights) weight = random() % 5 * (random() % 30);
    SchedulerUnderTest both(MakeLeastConnections, BackendsOfWeights(weights));
    for (int step = 0; step < 300; ++step) {
      const uint32_t chosen = both.Choose();
      bool any = false;
      for (uint32_t i = 0; i < both.backends.size(); ++i) {
        if (!both.backends[i].available) continue;
        any = true;
        ASSERT_NE(chosen, kNoBackend);
        ASSERT_GE(Active(both, i), Active(both, chosen));
      }
      ASSERT_EQ(chosen != kNoBackend, any);
      if (!any) break;
      ASSERT_TRUE(both.backends[chosen].available);
      both.counters[both.backends[chosen].slot].sessions_created.Add(1);
      const uint32_t ending = random() % static_cast<uint32_t>(both.backends.size());
      if (random() % 2 && Active(both, ending) > 0)
        both.counters[both.backends[ending].slot].sessions_ended.Add(1);
    }
  }
}

TEST(LeastConnections, EqualsTakeTurns) {
  SchedulerUnderTest both(MakeLeastConnections, BackendsOfWeights({1, 9, 1}));
  std::vector<int> chosen(3);
  for (int i = 0; i < 30; ++i) ++chosen[both.Choose()];  // none of the sessions stays
  EXPECT_EQ(chosen, (std::vector{10, 10, 10}));
}

}  // namespace
}  // namespace steelyard::core
