// SPDX-License-Identifier: Apache-2.0
//
// The backend with the fewest sessions for its weight, of those that take any: this worker's as
// they are, and the others' as they were counted last (core/session_share.h).
#pragma once

#include "core/scheduler/availability.h"

namespace steelyard::core {

// weight_of(backend) is above 0 for those available.
template <typename WeightOf>
uint32_t ChooseLeastLoaded(const SchedulingContext& context, WeightOf&& weight_of) {
  const auto count = static_cast<uint32_t>(context.backends.size());
  uint32_t best = kNoBackend;
  uint64_t best_load = 0;
  // Begins behind the last choice, so that equals take turns.
  const uint32_t start = context.cursor < count ? context.cursor : 0;
  for (uint32_t step = 0; step < count; ++step) {
    const uint32_t i = start + step < count ? start + step : start + step - count;
    if (!TakesSessions(context, i)) continue;
    const Backend& backend = context.backends[i];
    // With the session that is to come, so that weights count among idle backends too.
    const uint64_t load = context.counters[backend.slot].sessions_active() +
                          context.shares[backend.slot].elsewhere.load(std::memory_order_relaxed) +
                          1;
    if (best == kNoBackend ||
        load * weight_of(context.backends[best]) < best_load * weight_of(backend)) {
      best = i;
      best_load = load;
    }
  }
  if (best != kNoBackend) context.cursor = best + 1;
  return best;
}

}  // namespace steelyard::core
