// SPDX-License-Identifier: Apache-2.0
//
// Weighted least connections: the backend with the fewest sessions for its weight.
#include "core/scheduler/least_loaded.h"

namespace steelyard::core {
namespace {

class WeightedLeastConnections : public Scheduler {
 public:
  bool compares_sessions() const override { return true; }

  uint32_t Choose(const SchedulingContext& context) const override {
    return ChooseLeastLoaded(context,
                             [](const Backend& backend) -> uint64_t { return backend.weight; });
  }
};

}  // namespace

std::shared_ptr<const Scheduler> MakeWeightedLeastConnections(std::span<const Backend>) {
  return std::make_shared<WeightedLeastConnections>();
}

}  // namespace steelyard::core
