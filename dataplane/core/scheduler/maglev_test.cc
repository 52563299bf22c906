// SPDX-License-Identifier: Apache-2.0
//
// Maglev over flows; the laws of its table are in maglev_table_test.cc.
#include <gtest/gtest.h>

#include <cmath>

#include "core/scheduler/scheduler_test_support.h"

namespace steelyard::core {
namespace {

constexpr uint32_t kFlows = 200'000;

std::vector<uint32_t> Assignment(const std::vector<Backend>& backends) {
  SchedulerUnderTest maglev(MakeMaglev, backends);
  std::vector<uint32_t> assigned;
  for (uint32_t i = 0; i < kFlows; ++i) assigned.push_back(maglev.Choose(NumberedFlow(i)));
  return assigned;
}

std::vector<double> Shares(const std::vector<Backend>& backends) {
  std::vector<double> shares(backends.size());
  for (const uint32_t chosen : Assignment(backends)) shares[chosen] += 1.0 / kFlows;
  return shares;
}

// Shares of the table stray by 1% (section 3.4 of the paper). To that comes what a sample of that
// many flows strays (five standard deviations).
double Bound(double share) {
  return 0.01 * share + 5 * std::sqrt(share / kFlows);
}

TEST(Maglev, EqualWeightsHaveEqualShares) {
  for (const uint32_t count : {1u, 2u, 3u, 10u, 50u, 300u}) {
    const auto shares = Shares(BackendsOfWeights(std::vector<uint32_t>(count, 1)));
    for (const double share : shares) EXPECT_NEAR(share, 1.0 / count, Bound(1.0 / count));
  }
}

TEST(Maglev, UnequalWeightsHaveTheirShares) {
  for (const std::vector<uint32_t>& weights :
       {std::vector<uint32_t>{1, 2}, {1, 2, 3, 4}, {10, 1, 1}, {100, 100, 1, 50}, {3, 0, 1}}) {
    double sum = 0;
    for (const uint32_t weight : weights) sum += weight;
    const auto shares = Shares(BackendsOfWeights(weights));
    for (size_t i = 0; i < weights.size(); ++i)
      EXPECT_NEAR(shares[i], weights[i] / sum, Bound(weights[i] / sum)) << i;
  }
}

TEST(Maglev, FewFlowsMoveWhenOneBackendLeaves) {
  for (const uint32_t count : {3u, 10u, 30u, 100u}) {
    std::vector<Backend> backends = BackendsOfWeights(std::vector<uint32_t>(count, 1));
    const auto before = Assignment(backends);
    const uint32_t leaving = count / 2;
    backends[leaving].available = false;
    const auto after = Assignment(backends);
    uint32_t moved = 0;
    for (uint32_t i = 0; i < kFlows; ++i) {
      EXPECT_NE(after[i], leaving);
      moved += before[i] != leaving && before[i] != after[i];
    }
    EXPECT_LT(moved, 0.025 * kFlows) << count;
  }
}

TEST(Maglev, AFlowStaysWithItsBackend) {
  SchedulerUnderTest one(MakeMaglev, BackendsOfWeights({1, 2, 3}));
  SchedulerUnderTest other(MakeMaglev, BackendsOfWeights({1, 2, 3}));
  for (uint32_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(one.Choose(NumberedFlow(i)), one.Choose(NumberedFlow(i)));
    EXPECT_EQ(one.Choose(NumberedFlow(i)), other.Choose(NumberedFlow(i)));
  }
}

}  // namespace
}  // namespace steelyard::core
