// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/scheduler/scheduler_test_support.h"

namespace steelyard::core {
namespace {

TEST(SchedulerRegistry, FindsEachByItsName) {
  for (const SchedulerKind& kind : SchedulerKinds())
    EXPECT_EQ(FindSchedulerKind(kind.name), &kind) << kind.name;
  EXPECT_EQ(FindSchedulerKind("nobody_wrote_this_one"), nullptr);
}

TEST(SchedulerRegistry, EveryKindKeepsToTheContract) {
  for (const SchedulerKind& kind : SchedulerKinds()) {
    SchedulerUnderTest none(kind.make, {});
    EXPECT_EQ(none.Choose(), kNoBackend) << kind.name;
    SchedulerUnderTest weightless(kind.make, BackendsOfWeights({0, 0}));
    EXPECT_EQ(weightless.Choose(), kNoBackend) << kind.name;
    std::vector<Backend> backends = BackendsOfWeights({4, 1, 7});
    backends[2].available = false;
    SchedulerUnderTest both(kind.make, backends);
    for (uint32_t i = 0; i < 1000; ++i) EXPECT_LT(both.Choose(NumberedFlow(i)), 2u) << kind.name;
  }
}

// Filled up one session after the other, every backend ends at its limit and none above.
TEST(SchedulerRegistry, EveryKindKeepsToTheLimits) {
  for (const SchedulerKind& kind : SchedulerKinds()) {
    std::vector<Backend> backends = BackendsOfWeights({1000, 1, 30, 7, 0});
    const std::vector<uint32_t> limits = {5, 300, 1, 40, 9};
    for (size_t i = 0; i < limits.size(); ++i) backends[i].max_sessions = limits[i];
    SchedulerUnderTest both(kind.make, backends);
    for (uint32_t i = 0; i < 5 + 300 + 1 + 40; ++i) {
      const uint32_t chosen = both.Choose(NumberedFlow(i));
      ASSERT_LT(chosen, 4u) << kind.name << " after " << i;
      both.counters[chosen].sessions_created.Add(1);
      ASSERT_LE(both.counters[chosen].sessions_active(), limits[chosen]) << kind.name;
    }
    EXPECT_EQ(both.Choose(), kNoBackend) << kind.name;
    both.counters[2].sessions_ended.Add(1);
    EXPECT_EQ(both.Choose(), 2u) << kind.name;
  }
}

}  // namespace
}  // namespace steelyard::core
