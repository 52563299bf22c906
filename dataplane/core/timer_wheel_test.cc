// SPDX-License-Identifier: Apache-2.0
#include "core/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "packet/random.h"

namespace steelyard::core {
namespace {

constexpr uint32_t kUnlimited = UINT32_MAX;
constexpr uint64_t kWrapMs = uint64_t{1} << 32;
// A deadline is met when the slot behind its own has passed.
constexpr uint64_t kLatestMs = 2 * TimerWheel::kSlotMs;

// A wheel beside a multimap of deadlines, both on a clock of 64 bits of which the wheel sees 32. A
// visit before the deadline is put off, as sessions' are.
class WheelAndModel {
 public:
  WheelAndModel(size_t timers, uint64_t start_ms)
      : now_ms(start_ms), heads_(TimerWheel::kSlots), links_(timers), deadline_of_(timers) {
    wheel_.Start(static_cast<uint32_t>(start_ms));
  }

  bool IsArmed(uint32_t timer) const { return deadline_of_[timer] != 0; }
  void Arm(uint32_t timer, uint64_t when_ms) {
    wheel_.Arm(timer, static_cast<uint32_t>(when_ms));
    Note(timer, when_ms);
  }
  void Disarm(uint32_t timer) {
    wheel_.Disarm(timer);
    Forget(timer);
  }
  void Move(uint32_t timer, uint64_t when_ms) {
    wheel_.Move(timer, static_cast<uint32_t>(when_ms));
    Forget(timer);
    Note(timer, when_ms);
  }
  // Returns how many were visited.
  uint32_t Advance(uint32_t budget = kUnlimited) {
    uint32_t visits = 0;
    wheel_.Advance(static_cast<uint32_t>(now_ms), budget, [&](uint32_t timer) {
      ++visits;
      ASSERT_TRUE(IsArmed(timer)) << "a timer that was not armed";
      const uint64_t deadline_ms = deadline_of_[timer];
      if (now_ms < deadline_ms) {
        early_visits += deadline_ms < armed_at_[timer] + kHorizonMs;
        wheel_.Arm(timer, static_cast<uint32_t>(deadline_ms));
        armed_at_[timer] = now_ms;
        return;
      }
      Forget(timer);
      ++ended;
    });
    return visits;
  }
  // How late the most overdue timer is.
  uint64_t Overdue() const {
    if (deadlines_.empty() || deadlines_.begin()->first >= now_ms) return 0;
    return now_ms - deadlines_.begin()->first;
  }
  size_t armed() const { return deadlines_.size(); }

  uint64_t now_ms;
  uint64_t ended = 0;
  uint64_t early_visits = 0;  // of timers within the horizon

 private:
  static constexpr uint64_t kHorizonMs = uint64_t{TimerWheel::kSlots - 2} * TimerWheel::kSlotMs;

  void Note(uint32_t timer, uint64_t when_ms) {
    deadline_of_[timer] = when_ms;
    armed_at_[timer] = now_ms;
    deadlines_.emplace(when_ms, timer);
  }
  void Forget(uint32_t timer) {
    auto [at, end] = deadlines_.equal_range(deadline_of_[timer]);
    while (at != end && at->second != timer) ++at;
    ASSERT_NE(at, end);
    deadlines_.erase(at);
    deadline_of_[timer] = 0;
  }

  std::vector<uint32_t> heads_;
  std::vector<TimerLink> links_;
  TimerWheel wheel_{heads_, links_};
  std::vector<uint64_t> deadline_of_;  // 0: not armed
  std::map<uint32_t, uint64_t> armed_at_;
  std::multimap<uint64_t, uint32_t> deadlines_;
};

class TimerWheelFrom : public testing::TestWithParam<uint64_t> {};

TEST_P(TimerWheelFrom, EqualsAMultimapUnderRandomOperations) {
  WheelAndModel both(500, GetParam());
  test::Random random(1);
  const auto some_delay = [&]() -> uint64_t {
    switch (random() % 5) {
      case 0:
        return 0;
      case 1:
        return random() % 300;
      case 2:
        return random() % 10'000;
      case 3:
        return random() % 400'000;
      default:
        return random() % 5'000'000;  // beyond the horizon
    }
  };
  for (int round = 0; round < 100'000; ++round) {
    const uint32_t timer = random() % 500;
    if (!both.IsArmed(timer))
      both.Arm(timer, both.now_ms + some_delay());
    else if (random() % 3 == 0)
      both.Disarm(timer);
    else if (random() % 2 == 0)
      both.Move(timer, both.now_ms + some_delay());
    both.now_ms += random() % 200;
    if (random() % 4 != 0) {
      both.Advance();
      EXPECT_LT(both.Overdue(), kLatestMs);
    }
    if (HasFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(both.ended, 10'000u);
  EXPECT_EQ(both.early_visits, 0u);
}

// The last: the 32 bits wrap early on, and so do the slot numbers.
INSTANTIATE_TEST_SUITE_P(Clocks, TimerWheelFrom,
                         testing::Values(1, 1'000'000, kWrapMs / 2 - 500'000, kWrapMs - 100'000,
                                         kWrapMs - 1, 3 * kWrapMs - 5'000'000));

TEST(TimerWheel, DeadlinesFarBeyondTheHorizonAreMet) {
  for (const uint64_t delay_ms : {40 * 60'000ull, 5 * 3'600'000ull, 20 * 86'400'000ull}) {
    WheelAndModel both(1, 12'345);
    both.Arm(0, both.now_ms + delay_ms);
    const uint64_t deadline_ms = both.now_ms + delay_ms;
    while (both.ended == 0) {
      both.now_ms += 100;
      both.Advance();
      ASSERT_LT(both.now_ms, deadline_ms + kLatestMs + 100);
    }
    EXPECT_GE(both.now_ms, deadline_ms);
  }
}

TEST(TimerWheel, DeadlinesInThePastAreMetSoon) {
  WheelAndModel both(3, 1'000'000);
  both.Arm(0, 1);
  both.Arm(1, 999'999);
  both.Arm(2, 1'000'000);
  both.now_ms += kLatestMs;
  both.Advance();
  EXPECT_EQ(both.ended, 3u);
}

TEST(TimerWheel, CatchesUpAfterAJumpOfTheClock) {
  WheelAndModel both(1000, 50'000);
  test::Random random(2);
  for (uint32_t timer = 0; timer < 1000; ++timer) both.Arm(timer, both.now_ms + random() % 600'000);
  both.now_ms += 3'600'000;
  int calls = 0;
  while (both.armed() > 0 && calls < 10'000) {
    both.Advance(16);
    ++calls;
  }
  EXPECT_EQ(both.ended, 1000u);
  EXPECT_LT(calls, 1000);
  // And works on as before.
  both.Arm(7, both.now_ms + 5000);
  for (int i = 0; i < 1000; ++i) both.Advance(16);
  EXPECT_EQ(both.ended, 1000u);
  both.now_ms += 5000 + kLatestMs;
  for (int i = 0; i < 10; ++i) both.Advance(16);
  EXPECT_EQ(both.ended, 1001u);
}

// While it catches up, timers armed anew are not forgotten and not early.
TEST(TimerWheel, TakesTimersWhileItCatchesUp) {
  WheelAndModel both(2000, 50'000);
  for (uint32_t timer = 0; timer < 1000; ++timer) both.Arm(timer, both.now_ms + timer);
  both.now_ms += 10'000'000;
  for (uint32_t timer = 1000; timer < 2000; ++timer) {
    both.Advance(1);
    both.Arm(timer, both.now_ms + timer);
  }
  both.now_ms += 2000 + kLatestMs;
  for (int i = 0; i < 5000; ++i) both.Advance(10);
  EXPECT_EQ(both.ended, 2000u);
  EXPECT_EQ(both.armed(), 0u);
}

TEST(TimerWheel, NoMoreVisitsThanTheBudget) {
  WheelAndModel both(100, 0);
  for (uint32_t timer = 0; timer < 100; ++timer) both.Arm(timer, 1000 + timer % 3);
  both.now_ms = 10'000;
  EXPECT_EQ(both.Advance(0), 0u);
  for (int i = 0; i < 14; ++i) EXPECT_EQ(both.Advance(7), 7u);
  EXPECT_EQ(both.Advance(7), 2u);
  EXPECT_EQ(both.Advance(7), 0u);
}

// One that is armed for now within its own visit waits for the next slot.
TEST(TimerWheel, AVisitThatArmsForNowEnds) {
  std::vector<uint32_t> heads(TimerWheel::kSlots);
  std::vector<TimerLink> links(1);
  TimerWheel wheel(heads, links);
  wheel.Start(0);
  wheel.Arm(0, 0);
  for (uint32_t now_ms = 0; now_ms < 10'000; now_ms += 128) {
    int visits = 0;
    wheel.Advance(now_ms, 1000, [&](uint32_t timer) {
      ++visits;
      wheel.Arm(timer, now_ms);
    });
    EXPECT_LE(visits, 1);
  }
}

TEST(TimerWheel, AVisitMayDisarmOthersOfItsSlot) {
  std::vector<uint32_t> heads(TimerWheel::kSlots);
  std::vector<TimerLink> links(10);
  TimerWheel wheel(heads, links);
  wheel.Start(0);
  for (uint32_t timer = 0; timer < 10; ++timer) wheel.Arm(timer, 50);
  std::set<uint32_t> left{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  int visits = 0;
  wheel.Advance(1000, 1000, [&](uint32_t timer) {
    ++visits;
    ASSERT_EQ(left.erase(timer), 1u);
    if (left.empty()) return;
    wheel.Disarm(*left.begin());
    left.erase(left.begin());
  });
  EXPECT_EQ(visits, 5);
  EXPECT_TRUE(left.empty());
}

}  // namespace
}  // namespace steelyard::core
