// SPDX-License-Identifier: Apache-2.0
//
// PollLoop: all that one worker does, run to completion, on one core that belongs to it. An
// iteration:
//
//   pin the snapshot (the quiescent point) and read the clock
//   for each port: receive a burst → Pipeline::Process → Dispatch, which counts every verdict;
//     datagrams that its fragments completed, if any, go the same way
//   for each other worker: the same with a burst of what it handed off
//   for each port: pass on what the kernel sent through the twin, and what workers without a queue
//     there left for it
//   end sessions and datagrams whose time has come, a bounded number; one step of a task from
//   another
//     thread
//
// Belongs to one worker thread, which alone calls Run or Poll.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "core/burst.h"
#include "core/pipeline.h"
#include "core/worker_state.h"
#include "worker/clock.h"
#include "worker/handoff.h"
#include "worker/port_queue.h"
#include "worker/snapshot_publisher.h"
#include "worker/worker_mailbox.h"

namespace steelyard::worker {

class PollLoop {
 public:
  // Everything outlives the loop. `ports` stands in the order of port ids.
  struct Parts {
    uint32_t worker_index = 0;
    std::vector<PortQueue*> ports;
    core::Pipeline* pipeline = nullptr;
    SnapshotPublisher* snapshots = nullptr;
    WorkerMailbox* mailbox = nullptr;
    Handoff* handoff = nullptr;  // none where there is one worker
    core::WorkerState* state = nullptr;
    Clock* clock = nullptr;
    // Where the next process finds when packets were looked for last; none: nowhere.
    std::atomic<uint64_t>* last_poll_ns = nullptr;
    // Other workers have the same core: one that has nothing to do lets them have it.
    bool shares_core = false;
  };
  explicit PollLoop(Parts parts);

  // Polls until `stop` is set, then leaves the publisher and the mailbox.
  void Run(const std::atomic<bool>& stop);

  // One iteration. Returns how many packets came.
  uint32_t Poll();

 private:
  uint32_t PollPort(PortQueue& port, const core::Snapshot& snapshot, uint64_t now_ns);
  void ProcessAndDispatch(core::Burst& burst, const core::Snapshot& snapshot, uint64_t now_ns);
  uint32_t PollHandoff(const core::Snapshot& snapshot, uint64_t now_ns);
  void ProcessReassembled(core::PortId in_port, const core::Snapshot& snapshot, uint64_t now_ns);
  void PassOn();

  const Parts parts_;
  core::Burst burst_;
};

}  // namespace steelyard::worker
