// SPDX-License-Identifier: Apache-2.0
//
// WorkerMailbox: how the main thread gets a Task done on a worker. It holds one task; the worker
// looks into it once an iteration, which costs one load of a line that nobody writes meanwhile.
#pragma once

#include <atomic>

#include "worker/task.h"

namespace steelyard::worker {

class WorkerMailbox {
 public:
  // The main thread. Returns when the worker has done the last step: everything the task wrote is
  // then visible here. False: the worker has left, and the task may be done in part or not at all.
  [[nodiscard]] bool Run(Task& task);

  // The worker: one step of the task that waits, if any.
  void Step(core::Pipeline& pipeline, uint64_t now_ns) {
    Task* task = task_.load(std::memory_order_acquire);
    if (task != nullptr && task->Step(pipeline, now_ns))
      task_.store(nullptr, std::memory_order_release);
  }

  // The worker, as its last call.
  void Leave() { has_left_.store(true, std::memory_order_release); }

 private:
  alignas(64) std::atomic<Task*> task_{nullptr};  // the main thread fills it, the worker empties it
  std::atomic<bool> has_left_{false};
};

}  // namespace steelyard::worker
