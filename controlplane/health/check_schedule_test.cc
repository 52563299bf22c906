// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/check_schedule.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace steelyard::controlplane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using TimePoint = CheckClock::time_point;

constexpr int kBackends = 10'000;

CheckPeriod PeriodOf(int backend, uint64_t interval_ms = 1000) {
  return MakeCheckPeriod("web 10.0.0." + std::to_string(backend) + " 80", interval_ms);
}

TEST(CheckSchedule, PhaseIsDeterministicAndWithinTheInterval) {
  for (int backend = 0; backend < 1000; ++backend) {
    const CheckPeriod period = PeriodOf(backend);
    EXPECT_EQ(period.phase, PeriodOf(backend).phase);
    EXPECT_GE(period.phase, CheckClock::duration(0));
    EXPECT_LT(period.phase, period.interval);
  }
}

TEST(CheckSchedule, ManyBackendsLieEvenlyInTheInterval) {
  std::vector<int> starts_per_10_ms(100);
  const TimePoint now(seconds(1000));
  for (int backend = 0; backend < kBackends; ++backend) {
    const CheckPeriod period = PeriodOf(backend);
    const TimePoint start = NextCheckStart(period, now - period.interval, now);
    ++starts_per_10_ms.at((start - now) / milliseconds(10));
  }
  for (const int starts : starts_per_10_ms) {
    EXPECT_GT(starts, 50);
    EXPECT_LT(starts, 160);
  }
}

TEST(CheckSchedule, NextStartIsOnTheGridHalfToOneAndAHalfIntervalsOn) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 10'000; ++i) {
    const CheckPeriod period = PeriodOf(i, 1 + random() % 5000);
    const TimePoint previous(std::chrono::nanoseconds(random() % (1ull << 50)));
    const TimePoint now = previous + CheckClock::duration(random() % period.interval.count() / 2);
    const TimePoint next = NextCheckStart(period, previous, now);
    EXPECT_EQ((next.time_since_epoch() - period.phase) % period.interval, CheckClock::duration(0));
    EXPECT_GE(next - previous, period.interval / 2);
    EXPECT_LT(next - previous, period.interval / 2 + period.interval);
  }
}

TEST(CheckSchedule, OnTheGridChecksAreExactlyAnIntervalApart) {
  const CheckPeriod period = PeriodOf(1);
  const TimePoint first = NextCheckStart(period, TimePoint(seconds(5)), TimePoint(seconds(5)));
  EXPECT_EQ(NextCheckStart(period, first, first + milliseconds(499)), first + seconds(1));
}

TEST(CheckSchedule, ACheckLongerThanTheIntervalSkipsPlacesOnTheGrid) {
  const CheckPeriod period = PeriodOf(1);
  const TimePoint first = NextCheckStart(period, TimePoint(seconds(5)), TimePoint(seconds(5)));
  EXPECT_EQ(NextCheckStart(period, first, first + milliseconds(2300)), first + seconds(3));
}

TEST(CheckSchedule, TheFirstCheckOfOneNewBackendIsAtOnce) {
  TimePoint pace{};
  const TimePoint now(seconds(1000));
  EXPECT_EQ(FirstCheckStart(PeriodOf(1), now, pace), now);
}

TEST(CheckSchedule, TheFirstChecksOfManyNewBackendsAreSpreadButWithinTheInterval) {
  TimePoint pace{};
  const TimePoint now(seconds(1000));
  std::vector<int> starts_per_10_ms(100);
  for (int backend = 0; backend < 10 * kBackends; ++backend) {
    const CheckPeriod period = PeriodOf(backend);
    const TimePoint start = FirstCheckStart(period, now, pace);
    ASSERT_GE(start, now);
    ASSERT_LT(start, now + period.interval);
    ++starts_per_10_ms.at((start - now) / milliseconds(10));
  }
  for (const int starts : starts_per_10_ms) EXPECT_LT(starts, 1500);
}

TEST(CheckSchedule, AnIntervalOfZeroIsOneMillisecond) {
  EXPECT_EQ(PeriodOf(1, 0).interval, milliseconds(1));
}

}  // namespace
}  // namespace steelyard::controlplane
