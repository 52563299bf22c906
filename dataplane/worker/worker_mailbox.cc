// SPDX-License-Identifier: Apache-2.0
#include "worker/worker_mailbox.h"

#include <chrono>
#include <thread>

namespace steelyard::worker {

// Sleeping instead of a futex: a wake-up would be a system call on the worker.
constexpr auto kCheckInterval = std::chrono::microseconds(20);

bool WorkerMailbox::Run(Task& task) {
  task_.store(&task, std::memory_order_release);
  while (task_.load(std::memory_order_acquire) != nullptr) {
    if (has_left_.load(std::memory_order_acquire))
      return task_.exchange(nullptr, std::memory_order_acquire) == nullptr;
    std::this_thread::sleep_for(kCheckInterval);
  }
  return true;
}

}  // namespace steelyard::worker
