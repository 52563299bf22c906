// SPDX-License-Identifier: Apache-2.0
#include "core/token_bucket.h"

#include <gtest/gtest.h>

#include "packet/random.h"

namespace steelyard::core {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

// The bucket as everybody draws it: tokens in parts of 1/1e9, filled at every look.
struct Model {
  uint32_t rate, capacity;
  uint64_t billionths, last_ns = 0;
  Model(uint32_t tokens_per_second, uint32_t most)
      : rate(tokens_per_second), capacity(most), billionths(most * kSecondNs) {}
  bool Take(uint64_t now_ns) {
    billionths = std::min(billionths + (now_ns - last_ns) * rate, capacity * kSecondNs);
    last_ns = now_ns;
    if (billionths < kSecondNs) return false;
    billionths -= kSecondNs;
    return true;
  }
};

TEST(TokenBucket, IsTheModel) {
  test::Random random(1);
  for (const auto& [rate, capacity] :
       {std::pair(1u, 1u), {10u, 3u}, {1000u, 100u}, {1'000'000u, 1u}}) {
    TokenBucket bucket(rate, capacity);
    Model model(rate, capacity);
    uint64_t now_ns = 5;
    for (int i = 0; i < 20'000; ++i) {
      // Around the rate, with bursts and rests.
      if (random() % 4 != 0) now_ns += random() % (2 * kSecondNs / rate);
      if (random() % 1000 == 0) now_ns += kSecondNs * (random() % 100);
      ASSERT_EQ(bucket.Take(now_ns), model.Take(now_ns)) << rate << " " << capacity << " " << i;
    }
  }
}

TEST(TokenBucket, GivesItsCapacityAtOnceAndThenItsRate) {
  TokenBucket bucket(1000, 50);
  int taken = 0;
  for (int i = 0; i < 200; ++i) taken += bucket.Take(kSecondNs);
  EXPECT_EQ(taken, 50);
  for (uint64_t now_ns = kSecondNs; now_ns <= 2 * kSecondNs; now_ns += 10'000)
    taken += bucket.Take(now_ns);
  EXPECT_EQ(taken, 1050);
}

TEST(TokenBucket, IsFullHoweverLateItIsFirstUsed) {
  TokenBucket bucket(1, 2);
  constexpr uint64_t kLateNs = UINT64_MAX / 2;
  EXPECT_TRUE(bucket.Take(kLateNs));
  EXPECT_TRUE(bucket.Take(kLateNs));
  EXPECT_FALSE(bucket.Take(kLateNs));
}

}  // namespace
}  // namespace steelyard::core
