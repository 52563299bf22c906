// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/scheduler/scheduler_test_support.h"

namespace steelyard::core {
namespace {

SchedulerUnderTest RoundRobin(const std::vector<uint32_t>& weights) {
  return {MakeWeightedRoundRobin, BackendsOfWeights(weights)};
}

const std::vector<std::vector<uint32_t>> kWeights = {
    {1},       {1, 1},       {1, 1, 1},        {5, 1, 1},          {1, 2, 3, 4, 5},
    {100, 50}, {7, 11, 13},  {1, 0, 1},        {100, 1},           {1000, 1000, 999},
    {0, 3, 0}, {30, 20, 10}, {2, 2, 2, 2, 12}, {65535, 32768, 17}, {1, 1, 1, 1, 1, 1, 1, 64}};

TEST(WeightedRoundRobin, ARoundHasEveryBackendAsOftenAsItsWeight) {
  for (const auto& weights : kWeights) {
    uint32_t divisor = 0;
    for (const uint32_t weight : weights) divisor = std::gcd(divisor, weight);
    const uint64_t round = std::accumulate(weights.begin(), weights.end(), uint64_t{0}) / divisor;
    if (round > 65536) continue;
    SchedulerUnderTest both = RoundRobin(weights);
    for (int turn = 0; turn < 3; ++turn) {
      std::vector<uint32_t> chosen(weights.size());
      for (uint64_t i = 0; i < round; ++i) ++chosen[both.Choose()];
      for (size_t i = 0; i < weights.size(); ++i) EXPECT_EQ(chosen[i], weights[i] / divisor);
    }
  }
}

// After any number of choices nobody is further from its due than one turn and its share of the
// half turns of the others.
TEST(WeightedRoundRobin, TurnsAreSpreadEvenly) {
  for (const auto& weights : kWeights) {
    SchedulerUnderTest both = RoundRobin(weights);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    std::vector<double> chosen(weights.size());
    for (int choice = 1; choice <= 2000; ++choice) {
      ++chosen[both.Choose()];
      for (size_t i = 0; i < weights.size(); ++i) {
        const double due = choice * weights[i] / sum;
        const double bound = 1 + static_cast<double>(weights.size()) / 2 * weights[i] / sum;
        ASSERT_LE(std::abs(chosen[i] - due), bound) << choice << " of backend " << i;
      }
    }
  }
}

TEST(WeightedRoundRobin, HugeWeightsKeepTheirProportion) {
  SchedulerUnderTest both = RoundRobin({3'000'000'000, 1'000'000'007, 1});
  std::vector<double> chosen(3);
  for (int i = 0; i < 400'000; ++i) ++chosen[both.Choose()];
  EXPECT_NEAR(chosen[0] / chosen[1], 3, 0.01);
  EXPECT_GT(chosen[2], 0) << "a backend with a weight has turns";
}

TEST(WeightedRoundRobin, TheUnavailableAreNeverChosen) {
  std::vector<Backend> backends = BackendsOfWeights({3, 2, 1});
  backends[0].available = false;
  SchedulerUnderTest both(MakeWeightedRoundRobin, backends);
  for (int i = 0; i < 100; ++i) EXPECT_NE(both.Choose(), 0u);
  for (Backend& backend : backends) backend.available = false;
  SchedulerUnderTest nobody(MakeWeightedRoundRobin, backends);
  EXPECT_EQ(nobody.Choose(), kNoBackend);
  SchedulerUnderTest empty(MakeWeightedRoundRobin, {});
  EXPECT_EQ(empty.Choose(), kNoBackend);
}

// The cursor outlives the configuration that it was moved under.
TEST(WeightedRoundRobin, AnyCursorWillDo) {
  SchedulerUnderTest both = RoundRobin({2, 1});
  for (const uint32_t cursor : {0u, 2u, 3u, 1000u, UINT32_MAX}) {
    both.cursor = cursor;
    EXPECT_LT(both.Choose(), 2u);
    EXPECT_LE(both.cursor, 3u);
  }
}

}  // namespace
}  // namespace steelyard::core
