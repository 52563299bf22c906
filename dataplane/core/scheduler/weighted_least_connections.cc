// SPDX-License-Identifier: Apache-2.0
//
// The available backend with the fewest sessions for its weight. Counts what this worker holds:
// steering spreads flows over workers evenly, so each one's view is a fair sample of the whole.
#include "core/service.h"
#include "core/worker_state.h"

namespace steelyard::core {
namespace {

class WeightedLeastConnections : public Scheduler {
 public:
  uint32_t Choose(const SchedulingContext& context) const override {
    const auto count = static_cast<uint32_t>(context.backends.size());
    if (count == 0) return kNoBackend;
    uint32_t best = kNoBackend;
    uint64_t best_load = 0;
    // Begins behind the last choice, so that equals take turns.
    const uint32_t start = context.cursor < count ? context.cursor : 0;
    for (uint32_t step = 0; step < count; ++step) {
      const uint32_t i = start + step < count ? start + step : start + step - count;
      const Backend& backend = context.backends[i];
      if (!backend.available) continue;
      // With the session that is to come, so that weights count among idle backends too.
      const uint64_t load = context.counters[backend.slot].sessions_active() + 1;
      if (best == kNoBackend || load * context.backends[best].weight < best_load * backend.weight) {
        best = i;
        best_load = load;
      }
    }
    if (best != kNoBackend) context.cursor = best + 1;
    return best;
  }
};

}  // namespace

std::shared_ptr<const Scheduler> MakeWeightedLeastConnections(std::span<const Backend>) {
  return std::make_shared<WeightedLeastConnections>();
}

}  // namespace steelyard::core
