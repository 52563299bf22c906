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
    std::vector<Backend> backends = BackendsOfWeights({4, 1, 7});
    backends[2].available = false;
    SchedulerUnderTest both(kind.make, backends);
    for (uint32_t i = 0; i < 1000; ++i) EXPECT_LT(both.Choose(NumberedFlow(i)), 2u) << kind.name;
  }
}

}  // namespace
}  // namespace steelyard::core
