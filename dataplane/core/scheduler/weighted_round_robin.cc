// SPDX-License-Identifier: Apache-2.0
//
// Weighted round robin by a sequence made beforehand: in one round each backend stands in it as
// often as its weight says, its places spread evenly, so that choosing is one step of a cursor.
#include <algorithm>
#include <numeric>
#include <vector>

#include "core/scheduler/availability.h"

namespace steelyard::core {
namespace {

// Weights whose sum (after their common divisor is taken out) is above this are scaled down to it.
constexpr uint64_t kMaxRound = 65536;

class WeightedRoundRobin : public Scheduler {
 public:
  explicit WeightedRoundRobin(std::span<const Backend> backends) {
    uint64_t sum = 0;
    uint32_t divisor = 0;
    for (const Backend& backend : backends) {
      if (!backend.available) continue;
      sum += backend.weight;
      divisor = std::gcd(divisor, backend.weight);
    }
    if (sum == 0) return;
    const double scale =
        std::min(1.0, static_cast<double>(kMaxRound) * divisor / static_cast<double>(sum));
    std::vector<std::pair<double, uint32_t>> places;  // when in the round, which backend
    for (uint32_t i = 0; i < backends.size(); ++i) {
      if (!backends[i].available) continue;
      const auto turns =
          std::max<uint32_t>(1, static_cast<uint32_t>(backends[i].weight / divisor * scale));
      for (uint32_t turn = 0; turn < turns; ++turn) places.emplace_back((turn + 0.5) / turns, i);
    }
    std::sort(places.begin(), places.end());
    sequence_.reserve(places.size());
    for (const auto& place : places) sequence_.push_back(place.second);
  }

  uint32_t Choose(const SchedulingContext& context) const override {
    if (sequence_.empty()) return kNoBackend;
    return FirstProposed(context, [&] {
      if (context.cursor >= sequence_.size()) context.cursor = 0;
      return sequence_[context.cursor++];
    });
  }

 private:
  std::vector<uint32_t> sequence_;
};

}  // namespace

std::shared_ptr<const Scheduler> MakeWeightedRoundRobin(std::span<const Backend> backends) {
  return std::make_shared<WeightedRoundRobin>(backends);
}

}  // namespace steelyard::core
