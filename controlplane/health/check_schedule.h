// SPDX-License-Identifier: Apache-2.0
//
// When checks start. Pure: time is an argument.
//
// Each backend has a phase within its interval, made from its name, so that the checks of many
// backends lie evenly in time and at the same places after every change. Checks start on the grid
// phase + n * interval. Only the first one does not: it comes at once, because an unknown backend
// takes no sessions; when many backends are new, at kFirstCheckSpacing from each other or at their
// phase, whichever is sooner.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace steelyard::controlplane {

using CheckClock = std::chrono::steady_clock;

inline constexpr std::chrono::microseconds kFirstCheckSpacing{50};

struct CheckPeriod {
  CheckClock::duration interval;  // above 0
  CheckClock::duration phase;     // 0 to interval, exclusive
};

CheckPeriod MakeCheckPeriod(std::string_view backend_identity, uint64_t interval_ms);

// The start of the first check. `pace` is shared by all backends: the earliest time for the next
// new one, moved on when it is taken.
CheckClock::time_point FirstCheckStart(const CheckPeriod& period, CheckClock::time_point now,
                                       CheckClock::time_point& pace);

// The start of the check after one that started at `previous` and has ended by `now`: the next
// place on the grid that is at least half an interval after `previous` and not before `now`.
CheckClock::time_point NextCheckStart(const CheckPeriod& period, CheckClock::time_point previous,
                                      CheckClock::time_point now);

}  // namespace steelyard::controlplane
