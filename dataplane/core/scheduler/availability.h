// SPDX-License-Identifier: Apache-2.0
//
// Which backends may be chosen: those that are available and below their limit of sessions. What is
// available is known when a scheduler is compiled, how many sessions there are only when it
// chooses; so a scheduler proposes, and here the first proposal that still takes sessions is found.
#pragma once

#include "core/service.h"
#include "core/worker_state.h"

namespace steelyard::core {

inline bool TakesSessions(const SchedulingContext& context, uint32_t index) {
  const Backend& backend = context.backends[index];
  return backend.available && HasRoom(context.counters[backend.slot].sessions_active(),
                                      backend.max_sessions, context.shares[backend.slot]);
}

// The first from `start` on, round the list, that takes sessions; kNoBackend when none does.
inline uint32_t FirstFrom(const SchedulingContext& context, uint32_t start) {
  const auto count = static_cast<uint32_t>(context.backends.size());
  if (start >= count) start = 0;
  for (uint32_t i = start; i < count; ++i)
    if (TakesSessions(context, i)) return i;
  for (uint32_t i = 0; i < start; ++i)
    if (TakesSessions(context, i)) return i;
  return kNoBackend;
}

// The first of what propose() gives, call by call, that takes sessions. Proposals may repeat
// themselves many times before they name one that does: after some, any is looked for.
template <typename Propose>
uint32_t FirstProposed(const SchedulingContext& context, Propose&& propose) {
  constexpr int kMaxProposals = 64;
  uint32_t proposed = 0;
  for (int i = 0; i < kMaxProposals; ++i) {
    proposed = propose();
    if (TakesSessions(context, proposed)) [[likely]]
      return proposed;
  }
  return FirstFrom(context, proposed);
}

}  // namespace steelyard::core
