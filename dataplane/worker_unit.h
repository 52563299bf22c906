// SPDX-License-Identifier: Apache-2.0
//
// WorkerUnit: one worker and all that it owns: memory for sessions and fragments, state, pipeline,
// mailbox, loop.
// Made, launched and joined by the main thread; in between, what Describe says is whose.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>

#include "core/fragment/reassembler.h"
#include "core/pipeline.h"
#include "core/session_table.h"
#include "core/worker_state.h"
#include "dpdk/eal.h"
#include "dpdk/port_set.h"
#include "dpdk/tsc_clock.h"
#include "net/result.h"
#include "session_segment.h"
#include "worker/dataplane.h"
#include "worker/poll_loop.h"

namespace steelyard {

struct AlignedDelete {
  void operator()(std::byte* bytes) const { ::operator delete[](bytes, std::align_val_t{64}); }
};
// Off the fast path, so in ordinary pages, which cost nothing before they are used.
using ReassemblyMemory = std::unique_ptr<std::byte[], AlignedDelete>;

class WorkerUnit {
 public:
  struct Options {
    uint32_t index = 0;
    uint32_t core = 0;                  // CPU number
    bool shares_core = false;           // with other workers
    uint32_t reassembly_datagrams = 0;  // 0: fragments are not put together
  };
  // `segment` outlives it.
  static net::Result<std::unique_ptr<WorkerUnit>> Create(const Options& options,
                                                         const SessionSegment& segment);

  worker::Worker Describe();
  // The main thread's until the launch.
  core::SessionTable& sessions() { return sessions_; }
  core::WorkerState& state() { return state_; }

  // Everything given outlives the run, which ends once `stop` is set.
  net::Status Launch(dpdk::Eal& eal, dpdk::PortSet& ports, worker::HandoffRings& handoff_rings,
                     worker::SnapshotPublisher& snapshots, const std::atomic<bool>& stop);

 private:
  WorkerUnit(const Options& options, const SessionSegment& segment,
             ReassemblyMemory reassembly_memory, uint64_t random_seed);

  const Options options_;
  const SessionSegment& segment_;
  ReassemblyMemory reassembly_memory_;
  dpdk::TscClock clock_;
  core::WorkerState state_;
  core::SessionTable sessions_;
  std::optional<core::Reassembler> reassembler_;
  core::Pipeline pipeline_;
  worker::WorkerMailbox mailbox_;
  std::optional<worker::Handoff> handoff_;  // where there are other workers
  std::unique_ptr<worker::PollLoop> loop_;
  std::function<void()> run_;
};

}  // namespace steelyard
