// SPDX-License-Identifier: Apache-2.0
#include "controlplane/reconcile/synced_set.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "model.pb.h"

namespace steelyard::controlplane {
namespace {

v1::Backend Backend(const std::string& address, uint32_t weight) {
  v1::Backend backend;
  backend.set_address(address);
  backend.set_weight(weight);
  return backend;
}

// Does what pushes say.
struct Receiver {
  std::map<std::string, uint32_t> weights;
  void Do(const SyncedSet<v1::Backend>::Push& push) {
    if (push.replace) weights.clear();
    for (const v1::Backend* removed : push.removed)
      EXPECT_EQ(weights.erase(removed->address()), 1u);
    for (const v1::Backend* put : push.put) weights[put->address()] = put->weight();
  }
  uint64_t Fingerprint() const {
    uint64_t sum = 0;
    for (const auto& [address, weight] : weights)
      sum += proto::Fingerprint(Backend(address, weight));
    return sum;
  }
};

TEST(SyncedSet, ReceiverEndsWithTheWantedSetWhateverHappens) {
  std::mt19937 random(1);
  for (int run = 0; run < 200; ++run) {
    SyncedSet<v1::Backend> set;
    Receiver receiver;
    std::map<std::string, uint32_t> wanted;
    for (int step = 0; step < 200; ++step) {
      const std::string key = std::to_string(random() % 8);
      switch (random() % 6) {
        case 0:
        case 1:
          wanted[key] = static_cast<uint32_t>(random() % 3);
          set.Put(key, Backend(key, wanted[key]));
          break;
        case 2:
          wanted.erase(key);
          set.Erase(key);
          break;
        case 3:
          if (!set.in_flight()) receiver.Do(set.Take());
          break;
        case 4:
          if (set.in_flight()) set.Acknowledge();
          break;
        case 5:
          // A connection that broke: nobody knows whether the push arrived.
          if (!set.in_flight()) break;
          set.Abandon();
          if (receiver.Fingerprint() == set.wanted_fingerprint())
            set.MarkInSync();
          else if (receiver.Fingerprint() != set.applied_fingerprint())
            set.Forget();
          break;
      }
    }
    if (set.in_flight()) set.Acknowledge();
    while (!set.settled()) {
      receiver.Do(set.Take());
      set.Acknowledge();
    }
    EXPECT_EQ(receiver.weights, wanted);
    EXPECT_EQ(receiver.Fingerprint(), set.wanted_fingerprint());
    EXPECT_EQ(set.applied_fingerprint(), set.wanted_fingerprint());
  }
}

TEST(SyncedSet, SendsNothingWhenNothingChanged) {
  SyncedSet<v1::Backend> set;
  set.Put("a", Backend("a", 1));
  set.Take();
  set.Acknowledge();
  set.Put("a", Backend("a", 1));
  EXPECT_TRUE(set.settled());
  set.Put("a", Backend("a", 2));
  set.Put("a", Backend("a", 1));
  EXPECT_TRUE(set.Take().empty());
  EXPECT_FALSE(set.in_flight());
}

TEST(SyncedSet, EmptyIsNotUnchanged) {
  SyncedSet<v1::Backend> set;
  EXPECT_TRUE(set.Take().replace);
  set.Acknowledge();
  set.Put("a", Backend("a", 1));
  set.Take();
  set.Acknowledge();
  set.Assign(std::map<std::string, v1::Backend>{});
  const auto push = set.Take();
  ASSERT_EQ(push.removed.size(), 1u);
  EXPECT_EQ(push.removed[0]->address(), "a");
}

}  // namespace
}  // namespace steelyard::controlplane
