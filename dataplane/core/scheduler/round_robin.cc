// SPDX-License-Identifier: Apache-2.0
//
// Round robin: the backends that take sessions by turns, whatever their weights.
#include "core/scheduler/availability.h"

namespace steelyard::core {
namespace {

class RoundRobin : public Scheduler {
 public:
  uint32_t Choose(const SchedulingContext& context) const override {
    const uint32_t chosen = FirstFrom(context, context.cursor);
    if (chosen != kNoBackend) context.cursor = chosen + 1;
    return chosen;
  }
};

}  // namespace

std::shared_ptr<const Scheduler> MakeRoundRobin(std::span<const Backend>) {
  return std::make_shared<RoundRobin>();
}

}  // namespace steelyard::core
