// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/rise_fall.h"

#include <gtest/gtest.h>

#include <vector>

namespace steelyard::controlplane {
namespace {

// The laws told over the whole history instead of with counters.
v1::Health Model(const std::vector<bool>& results, size_t rise, size_t fall) {
  v1::Health health = v1::HEALTH_UNKNOWN;
  for (size_t end = 1; end <= results.size(); ++end) {
    const bool latest = results[end - 1];
    size_t in_a_row = 0;
    while (in_a_row < end && results[end - 1 - in_a_row] == latest) ++in_a_row;
    if (end == 1 || in_a_row >= (latest ? rise : fall))
      health = latest ? v1::HEALTH_UP : v1::HEALTH_DOWN;
  }
  return health;
}

TEST(RiseFall, EqualsTheModelForEverySequence) {
  for (uint32_t rise = 1; rise <= 4; ++rise) {
    for (uint32_t fall = 1; fall <= 4; ++fall) {
      for (uint32_t bits = 0; bits < 1u << 10; ++bits) {
        RiseFall machine(v1::HEALTH_UNKNOWN, rise, fall);
        std::vector<bool> results;
        for (int i = 0; i < 10; ++i) {
          const v1::Health before = machine.health();
          results.push_back((bits >> i) & 1);
          const bool changed = machine.Record(results.back());
          ASSERT_EQ(machine.health(), Model(results, rise, fall))
              << "rise " << rise << " fall " << fall << " bits " << bits << " at " << i;
          ASSERT_EQ(changed, machine.health() != before);
        }
      }
    }
  }
}

TEST(RiseFall, NoResultMeansTheInitialHealth) {
  EXPECT_EQ(RiseFall(v1::HEALTH_UNKNOWN, 2, 3).health(), v1::HEALTH_UNKNOWN);
  EXPECT_EQ(RiseFall(v1::HEALTH_UNCHECKED, 2, 3).health(), v1::HEALTH_UNCHECKED);
}

TEST(RiseFall, FirstResultDecides) {
  RiseFall up(v1::HEALTH_UNKNOWN, 5, 5);
  EXPECT_TRUE(up.Record(true));
  EXPECT_EQ(up.health(), v1::HEALTH_UP);
  RiseFall down(v1::HEALTH_UNKNOWN, 5, 5);
  EXPECT_TRUE(down.Record(false));
  EXPECT_EQ(down.health(), v1::HEALTH_DOWN);
}

TEST(RiseFall, InitialHealthStandsUntilTheFirstResultWhichDecides) {
  RiseFall contradicted(v1::HEALTH_UP, 2, 4);
  EXPECT_TRUE(contradicted.Record(false));
  EXPECT_FALSE(contradicted.Record(true));
  EXPECT_TRUE(contradicted.Record(true));
  RiseFall confirmed(v1::HEALTH_UP, 2, 2);
  EXPECT_FALSE(confirmed.Record(true));
  EXPECT_FALSE(confirmed.Record(false));
  EXPECT_TRUE(confirmed.Record(false));
}

TEST(RiseFall, ZeroThresholdsCountAsOne) {
  RiseFall machine(v1::HEALTH_UNKNOWN, 0, 0);
  machine.Record(true);
  EXPECT_TRUE(machine.Record(false));
  EXPECT_TRUE(machine.Record(true));
}

}  // namespace
}  // namespace steelyard::controlplane
