// SPDX-License-Identifier: Apache-2.0
//
// SessionSharing: makes limits of sessions and least connections hold for all workers together
// without a line that two of them write. Every so often it adds up what the workers count and tells
// each its share (core/session_share.h). Main thread only.
//
// How exact that is: with n workers, at most n - 1 sessions more than a limit, and those that were
// opened in the microseconds between counting and telling. Refused below the limit is only who
// finds more than a worker's part of what is left gone since the last deal. Least connections
// compares the worker's own count as it is with the others' as it was at the last deal.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "core/snapshot.h"
#include "core/worker_state.h"

namespace steelyard::control {

class SessionSharing {
 public:
  static constexpr auto kInterval = std::chrono::milliseconds(10);

  // They outlive this. With one there is nothing to share.
  explicit SessionSharing(std::vector<core::WorkerState*> workers);

  // Deals out for the services of `snapshot`, before workers see it, and goes on for these.
  void Follow(const core::Snapshot& snapshot);
  void DealOut();

  // Whether there is anything to deal out at all.
  bool is_needed() const { return !services_.empty() || !backends_.empty(); }

 private:
  struct Limited {
    uint32_t slot;
    uint32_t max_sessions;
  };
  template <typename Counters>
  void Deal(const Limited& limited, std::vector<Counters> core::WorkerState::*counters,
            std::vector<core::SessionShare> core::WorkerState::*shares);

  const std::vector<core::WorkerState*> workers_;
  std::vector<Limited> services_;
  std::vector<Limited> backends_;
};

}  // namespace steelyard::control
