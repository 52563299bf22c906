// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "core/scheduler/scheduler.h"

namespace steelyard::core {
namespace {

constexpr std::array kKinds = {
    SchedulerKind{"weighted_round_robin", MakeWeightedRoundRobin},
    SchedulerKind{"weighted_least_connections", MakeWeightedLeastConnections},
    SchedulerKind{"maglev", MakeMaglev},
    SchedulerKind{"round_robin", MakeRoundRobin},
    SchedulerKind{"least_connections", MakeLeastConnections},
    SchedulerKind{"source_hash", MakeSourceHash},
};

}  // namespace

std::span<const SchedulerKind> SchedulerKinds() {
  return kKinds;
}

const SchedulerKind* FindSchedulerKind(std::string_view name) {
  for (const SchedulerKind& kind : kKinds)
    if (kind.name == name) return &kind;
  return nullptr;
}

}  // namespace steelyard::core
