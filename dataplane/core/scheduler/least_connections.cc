// SPDX-License-Identifier: Apache-2.0
//
// Least connections: the backend with the fewest sessions, whatever its weight.
#include "core/scheduler/least_loaded.h"

namespace steelyard::core {
namespace {

class LeastConnections : public Scheduler {
 public:
  bool compares_sessions() const override { return true; }

  uint32_t Choose(const SchedulingContext& context) const override {
    return ChooseLeastLoaded(context, [](const Backend&) -> uint64_t { return 1; });
  }
};

}  // namespace

std::shared_ptr<const Scheduler> MakeLeastConnections(std::span<const Backend>) {
  return std::make_shared<LeastConnections>();
}

}  // namespace steelyard::core
