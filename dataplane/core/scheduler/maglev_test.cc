// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/scheduler/scheduler_test_support.h"

namespace steelyard::core {
namespace {

constexpr uint32_t kFlows = 200'000;

// Per flow, the endpoint it goes to; by number, so that lists of another order compare.
std::vector<net::Endpoint> Assignment(const std::vector<Backend>& backends) {
  SchedulerUnderTest maglev(MakeMaglev, backends);
  std::vector<net::Endpoint> assigned;
  for (uint32_t i = 0; i < kFlows; ++i)
    assigned.push_back(backends[maglev.Choose(NumberedFlow(i))].endpoint);
  return assigned;
}

std::vector<double> Shares(const std::vector<Backend>& backends) {
  SchedulerUnderTest maglev(MakeMaglev, backends);
  std::vector<double> shares(backends.size());
  for (uint32_t i = 0; i < kFlows; ++i) shares[maglev.Choose(NumberedFlow(i))] += 1.0 / kFlows;
  return shares;
}

// Section 3.4: entries differ by one at most with equal weights. To that comes what a sample of
// that many flows strays (five standard deviations).
double Bound(double share, uint32_t backend_count) {
  const double entries = 1.0 / (100.0 * backend_count);
  return 2 * entries + 5 * std::sqrt(share / kFlows);
}

TEST(Maglev, EqualWeightsHaveEqualShares) {
  for (const uint32_t count : {1u, 2u, 3u, 10u, 50u, 300u}) {
    const auto shares = Shares(BackendsOfWeights(std::vector<uint32_t>(count, 1)));
    for (const double share : shares) EXPECT_NEAR(share, 1.0 / count, Bound(1.0 / count, count));
  }
}

TEST(Maglev, UnequalWeightsHaveTheirShares) {
  for (const std::vector<uint32_t>& weights :
       {std::vector<uint32_t>{1, 2}, {1, 2, 3, 4}, {10, 1, 1}, {100, 100, 1, 50}, {3, 0, 1}}) {
    double sum = 0;
    for (const uint32_t weight : weights) sum += weight;
    const auto shares = Shares(BackendsOfWeights(weights));
    for (size_t i = 0; i < weights.size(); ++i)
      EXPECT_NEAR(shares[i], weights[i] / sum,
                  Bound(weights[i] / sum, static_cast<uint32_t>(weights.size())))
          << i;
  }
}

// A table of a hundred entries a backend is not a perfectly consistent hash (section 5.3 of the
// paper measures it): beside the flows of the one that leaves, 1/N, a few of the others move. A
// plain modulo would move nearly all.
TEST(Maglev, FewFlowsMoveWhenOneBackendLeaves) {
  for (const uint32_t count : {3u, 10u, 30u, 100u}) {
    std::vector<Backend> backends = BackendsOfWeights(std::vector<uint32_t>(count, 1));
    const auto before = Assignment(backends);
    for (uint32_t leaving = 0; leaving < count; leaving += (count + 4) / 5) {
      backends[leaving].available = false;
      const auto after = Assignment(backends);
      backends[leaving].available = true;
      uint32_t moved = 0;
      for (uint32_t i = 0; i < kFlows; ++i) {
        EXPECT_NE(after[i], backends[leaving].endpoint);
        moved += before[i] != backends[leaving].endpoint && before[i] != after[i];
      }
      EXPECT_LT(moved, 0.04 * kFlows) << count << " without " << leaving;
    }
  }
}

TEST(Maglev, TheOrderOfConfigurationDoesNotMatter) {
  std::vector<Backend> backends = BackendsOfWeights({1, 5, 2, 9, 4, 4});
  const auto in_order = Assignment(backends);
  std::reverse(backends.begin(), backends.end());
  EXPECT_EQ(Assignment(backends), in_order);
  std::rotate(backends.begin(), backends.begin() + 2, backends.end());
  EXPECT_EQ(Assignment(backends), in_order);
}

TEST(Maglev, AFlowStaysWithItsBackend) {
  SchedulerUnderTest one(MakeMaglev, BackendsOfWeights({1, 2, 3}));
  SchedulerUnderTest other(MakeMaglev, BackendsOfWeights({1, 2, 3}));
  for (uint32_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(one.Choose(NumberedFlow(i)), one.Choose(NumberedFlow(i)));
    EXPECT_EQ(one.Choose(NumberedFlow(i)), other.Choose(NumberedFlow(i)));
  }
}

TEST(Maglev, NobodyAvailable) {
  SchedulerUnderTest empty(MakeMaglev, {});
  EXPECT_EQ(empty.Choose(), kNoBackend);
  SchedulerUnderTest both(MakeMaglev, BackendsOfWeights({0, 0}));
  EXPECT_EQ(both.Choose(), kNoBackend);
}

}  // namespace
}  // namespace steelyard::core
