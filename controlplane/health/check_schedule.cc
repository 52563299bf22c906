// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/check_schedule.h"

#include <algorithm>
#include <functional>

namespace steelyard::controlplane {

CheckPeriod MakeCheckPeriod(std::string_view backend_identity, uint64_t interval_ms) {
  const CheckClock::duration interval =
      std::chrono::milliseconds(std::max<uint64_t>(interval_ms, 1));
  const uint64_t hash = std::hash<std::string_view>{}(backend_identity);
  const auto ticks = static_cast<uint64_t>(interval.count());
  return {interval, CheckClock::duration(hash % ticks)};
}

CheckClock::time_point FirstCheckStart(const CheckPeriod& period, CheckClock::time_point now,
                                       CheckClock::time_point& pace) {
  const CheckClock::time_point paced = std::max(pace, now);
  if (paced > now + period.phase) return now + period.phase;
  pace = paced + kFirstCheckSpacing;
  return paced;
}

CheckClock::time_point NextCheckStart(const CheckPeriod& period, CheckClock::time_point previous,
                                      CheckClock::time_point now) {
  const CheckClock::time_point earliest = std::max(previous + period.interval / 2, now);
  const CheckClock::duration since_phase = earliest.time_since_epoch() - period.phase;
  const auto periods = (since_phase + period.interval - CheckClock::duration(1)) / period.interval;
  return CheckClock::time_point(period.phase + periods * period.interval);
}

}  // namespace steelyard::controlplane
