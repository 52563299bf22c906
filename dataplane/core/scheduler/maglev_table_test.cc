// SPDX-License-Identifier: Apache-2.0
#include "core/scheduler/maglev_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/scheduler/scheduler_test_support.h"
#include "packet/random.h"

namespace steelyard::core {
namespace {

using Identity = MaglevTable::Identity;

MaglevTable TableOf(const std::vector<Backend>& backends) {
  return {backends, Identity::kEndpoint};
}

std::vector<Backend> EqualBackends(uint32_t count) {
  return BackendsOfWeights(std::vector<uint32_t>(count, 1));
}

std::vector<uint32_t> EntriesOfEach(const std::vector<Backend>& backends) {
  std::vector<uint32_t> count(backends.size());
  const MaglevTable table = TableOf(backends);
  for (const uint16_t entry : table.entries()) ++count.at(entry);
  return count;
}

// Entries that had another backend than `leaving` and have yet another now, of all. The numbers of
// the backends behind it are one less in `after` if it is not listed there at all.
double MovedOfOthers(const MaglevTable& before, const MaglevTable& after, uint32_t leaving,
                     bool unlisted) {
  EXPECT_EQ(before.entries().size(), after.entries().size());
  uint32_t moved = 0;
  for (size_t i = 0; i < before.entries().size(); ++i) {
    const uint32_t was = before.entries()[i];
    const uint32_t is = after.entries()[i] + (unlisted && after.entries()[i] >= leaving);
    EXPECT_NE(is, leaving);
    moved += was != leaving && was != is;
  }
  return static_cast<double>(moved) / static_cast<double>(before.entries().size());
}

// What a backend's leaving moves of the others' entries. Not none, as with a ring of hashes: that
// is what even shares cost (sections 3.4 and 5.3 of the paper). With a hundred entries a backend it
// is less than this; a modulo would move nearly all.
constexpr double kMovedBound = 0.025;

TEST(MaglevTable, EqualWeightsDifferByOneEntry) {
  for (const uint32_t count : {1u, 2u, 3u, 10u, 50u, 81u, 82u, 300u, 1000u}) {
    const auto entries = EntriesOfEach(EqualBackends(count));
    const auto [least, most] = std::minmax_element(entries.begin(), entries.end());
    EXPECT_LE(*most - *least, 1u) << count;
  }
}

// No more than one entry above what is due, and no more than one in a hundred below: the first
// round of turns is everybody's.
TEST(MaglevTable, EntriesFollowTheWeights) {
  test::Random random(1);
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<uint32_t> weights(1 + random() % 90);
    for (uint32_t& weight : weights) weight = 1 + random() % (1u << random() % 16);
    const auto entries = EntriesOfEach(BackendsOfWeights(weights));
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    const double size = std::accumulate(entries.begin(), entries.end(), 0.0);
    for (size_t i = 0; i < weights.size(); ++i) {
      const double due = size * weights[i] / sum;
      EXPECT_LE(entries[i], due + 1) << weights[i] << " of " << sum;
      EXPECT_GE(entries[i], due * 0.99 - 1) << weights[i] << " of " << sum;
    }
  }
}

// Regression: a weight of 1 beside ones of 1000 got no entry.
TEST(MaglevTable, EveryAvailableBackendHasAnEntry) {
  for (const uint32_t count : {2u, 10u, 81u, 82u, 655u}) {
    std::vector<uint32_t> weights(count, 65535);
    for (uint32_t light = 0; light < count; light += (count + 3) / 4) weights[light] = 1;
    for (const uint32_t entries : EntriesOfEach(BackendsOfWeights(weights))) EXPECT_GT(entries, 0u);
  }
}

TEST(MaglevTable, FewEntriesMoveWhenOneBackendLeaves) {
  for (const uint32_t count : {2u, 3u, 10u, 30u, 81u, 82u, 300u, 655u}) {
    std::vector<Backend> backends = EqualBackends(count);
    const MaglevTable before = TableOf(backends);
    for (uint32_t leaving = 0; leaving < count; leaving += (count + 3) / 4) {
      backends[leaving].available = false;
      const double moved = MovedOfOthers(before, TableOf(backends), leaving, false);
      backends[leaving].available = true;
      EXPECT_LT(moved, kMovedBound) << count << " without " << leaving;
      // Never more than the ones of the backend itself, where the paper's rule leaves some room.
      if (count <= 30) {
        EXPECT_LT(moved, 1.0 / count);
      }
    }
  }
}

TEST(MaglevTable, FewEntriesMoveWhenOneOfUnequalWeightLeaves) {
  for (const std::vector<uint32_t>& weights :
       {std::vector<uint32_t>{1, 2, 3, 4}, {100, 100, 1, 50}, {1000, 1, 1, 1}, {7, 11, 13, 17}}) {
    std::vector<Backend> backends = BackendsOfWeights(weights);
    const MaglevTable before = TableOf(backends);
    for (uint32_t leaving = 0; leaving < weights.size(); ++leaving) {
      backends[leaving].available = false;
      EXPECT_LT(MovedOfOthers(before, TableOf(backends), leaving, false), kMovedBound);
      backends[leaving].available = true;
    }
  }
}

// Regression: the size followed the number of backends, and 10 → 11, 20 → 21 and 40 → 41 moved
// nearly every flow.
TEST(MaglevTable, OneMoreBackendMovesFewEntries) {
  for (uint32_t count = 1; count < 130; ++count) {
    if (count == MaglevTable::kSmallTableBackends) continue;  // the one step between the sizes
    std::vector<Backend> backends = EqualBackends(count + 1);
    const MaglevTable more = TableOf(backends);
    backends.pop_back();
    EXPECT_LT(MovedOfOthers(more, TableOf(backends), count, true), kMovedBound) << count;
  }
}

// However many of them are unavailable.
TEST(MaglevTable, HealthDoesNotChangeTheSize) {
  std::vector<Backend> backends = EqualBackends(MaglevTable::kSmallTableBackends + 1);
  const size_t size = TableOf(backends).entries().size();
  for (uint32_t i = 1; i < backends.size(); ++i) backends[i].available = false;
  EXPECT_EQ(TableOf(backends).entries().size(), size);
}

TEST(MaglevTable, TheOrderOfConfigurationDoesNotMatter) {
  std::vector<Backend> backends = BackendsOfWeights({1, 5, 2, 9, 4, 4, 0});
  const auto endpoints = [&] {
    std::vector<net::Endpoint> of_entries;
    const MaglevTable table = TableOf(backends);
    for (const uint16_t entry : table.entries()) of_entries.push_back(backends[entry].endpoint);
    return of_entries;
  };
  const auto in_order = endpoints();
  std::reverse(backends.begin(), backends.end());
  EXPECT_EQ(endpoints(), in_order);
  std::rotate(backends.begin(), backends.begin() + 2, backends.end());
  EXPECT_EQ(endpoints(), in_order);
}

TEST(MaglevTable, ByAddressThePortDoesNotMatter) {
  std::vector<Backend> backends = BackendsOfWeights({1, 5, 2});
  const MaglevTable one(backends, Identity::kAddress);
  for (Backend& backend : backends) backend.endpoint.port = net::Be16(443);
  const MaglevTable other(backends, Identity::kAddress);
  EXPECT_TRUE(std::equal(one.entries().begin(), one.entries().end(), other.entries().begin()));
  // Two servers on one host share its permutation, and still the entries.
  backends[1].endpoint.address = backends[0].endpoint.address;
  backends[1].endpoint.port = net::Be16(444);
  const MaglevTable third(backends, Identity::kAddress);
  for (const uint32_t i : {0u, 1u, 2u})
    EXPECT_GT(std::count(third.entries().begin(), third.entries().end(), i), 500) << i;
}

// A backend at its limit is passed over: its hashes go elsewhere, always to the same one, the
// others' stay; and when all are, nobody is chosen.
TEST(MaglevTable, WhoIsAtTheLimitIsPassedOver) {
  std::vector<Backend> backends = BackendsOfWeights({1, 1000, 1, 5});
  std::vector<BackendCounters> counters(backends.size());
  const std::vector<SessionShare> shares(backends.size());
  const MaglevTable table = TableOf(backends);
  uint32_t cursor = 0;
  const net::FlowKey flow;
  const SchedulingContext context{flow, backends, counters, shares, cursor};
  test::Random random(3);
  std::vector<uint64_t> hashes(2000);
  for (uint64_t& hash : hashes) hash = uint64_t{random()} << 32;
  std::vector<uint32_t> at_first;
  for (const uint64_t hash : hashes) at_first.push_back(table.Choose(hash, context));
  for (uint32_t full = 0; full < backends.size(); ++full) {
    backends[full].max_sessions = 0;
    for (size_t i = 0; i < hashes.size(); ++i) {
      const uint32_t chosen = table.Choose(hashes[i], context);
      EXPECT_NE(chosen, full);
      EXPECT_EQ(chosen, table.Choose(hashes[i], context));
      if (at_first[i] != full) {
        EXPECT_EQ(chosen, at_first[i]);
      }
    }
    backends[full].max_sessions = kNoSessionLimit;
  }
  // Only the rarest is left: further away than one would walk.
  for (const uint32_t full : {1u, 2u, 3u}) backends[full].max_sessions = 0;
  for (const uint64_t hash : hashes) EXPECT_EQ(table.Choose(hash, context), 0u);
  backends[0].max_sessions = 0;
  EXPECT_EQ(table.Choose(hashes[0], context), kNoBackend);
}

TEST(MaglevTable, NobodyAvailable) {
  EXPECT_TRUE(TableOf({}).entries().empty());
  EXPECT_TRUE(TableOf(BackendsOfWeights({0, 0})).entries().empty());
}

}  // namespace
}  // namespace steelyard::core
