// SPDX-License-Identifier: Apache-2.0
//
// SessionShare: what a worker knows of all workers' sessions of one service or backend, so that a
// limit or a comparison means the box and not the worker. The main thread deals shares out some
// times a second (control/session_sharing.h); the worker reads its own when it opens a session, and
// a line of them changes hands only then. With one worker nothing is dealt, and its own count is
// exact.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace steelyard::core {

inline constexpr uint32_t kNoSessionLimit = UINT32_MAX;

struct SessionShare {
  static constexpr uint32_t kNotDealt = UINT32_MAX;

  std::atomic<uint32_t> ceiling{kNotDealt};  // of this worker's sessions
  std::atomic<uint32_t> elsewhere{0};        // at the other workers, when they were last counted
};

inline bool HasRoom(uint64_t active_here, uint32_t max_sessions, const SessionShare& share) {
  if (max_sessions == kNoSessionLimit) [[likely]]
    return true;
  return active_here < std::min(max_sessions, share.ceiling.load(std::memory_order_relaxed));
}

}  // namespace steelyard::core
