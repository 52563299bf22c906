// SPDX-License-Identifier: Apache-2.0
#include "worker_unit.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <utility>

namespace steelyard {

using net::Error;
using net::Result;
using net::Status;

namespace {

template <typename Value>
Result<Value> RandomValue() {
  Value value;
  if (getrandom(&value, sizeof value, 0) != sizeof value)
    return Error{std::string("no random numbers: ") + std::strerror(errno)};
  return value;
}

// One source takes no more than an eighth, so that one sender of incomplete datagrams, or one lossy
// path, does not keep the others from being heard.
core::ReassemblyLimits LimitsOf(uint32_t datagrams) {
  return {.datagrams = datagrams, .datagrams_per_source = std::max(datagrams / 8, 1u)};
}

Result<ReassemblyMemory> AllocateReassemblyMemory(uint32_t datagrams) {
  const size_t bytes = core::Reassembler::RequiredBytes(LimitsOf(datagrams));
  ReassemblyMemory memory(new (std::align_val_t{64}, std::nothrow) std::byte[bytes]);
  if (memory == nullptr) {
    return Error{"no memory for reassembly, " + std::to_string(bytes >> 20) +
                 " MiB: lower --reassembly-datagrams"};
  }
  return memory;
}

}  // namespace

Result<std::unique_ptr<WorkerUnit>> WorkerUnit::Create(const Options& options,
                                                       const SessionSegment& segment) {
  Result<ReassemblyMemory> reassembly_memory =
      AllocateReassemblyMemory(options.reassembly_datagrams);
  if (!reassembly_memory) return reassembly_memory.error();
  const Result<uint64_t> seed = RandomValue<uint64_t>();
  if (!seed) return seed.error();
  return std::unique_ptr<WorkerUnit>(
      new WorkerUnit(options, segment, std::move(*reassembly_memory), *seed));
}

WorkerUnit::WorkerUnit(const Options& options, const SessionSegment& segment,
                       ReassemblyMemory reassembly_memory, uint64_t random_seed)
    : options_(options),
      segment_(segment),
      reassembly_memory_(std::move(reassembly_memory)),
      state_(random_seed),
      sessions_(segment.table_memory(), segment.identity().capacity, segment.identity().secret),
      pipeline_(options.index, sessions_, state_, clock_.NowNs()) {
  if (options.reassembly_datagrams == 0) return;
  const core::ReassemblyLimits limits = LimitsOf(options.reassembly_datagrams);
  reassembler_.emplace(
      std::span(reassembly_memory_.get(), core::Reassembler::RequiredBytes(limits)), limits,
      segment.identity().secret);
  state_.reassembler = &*reassembler_;
}

worker::Worker WorkerUnit::Describe() {
  return {.index = options_.index,
          .core = options_.core,
          .mailbox = &mailbox_,
          .state = &state_,
          .sessions = &sessions_};
}

Status WorkerUnit::Launch(dpdk::Eal& eal, dpdk::PortSet& ports, worker::HandoffRings& handoff_rings,
                          worker::SnapshotPublisher& snapshots, const std::atomic<bool>& stop) {
  if (handoff_rings.worker_count() > 1) handoff_.emplace(handoff_rings, options_.index);
  loop_ = std::make_unique<worker::PollLoop>(
      worker::PollLoop::Parts{.worker_index = options_.index,
                              .ports = ports.QueuesOf(options_.index),
                              .pipeline = &pipeline_,
                              .snapshots = &snapshots,
                              .mailbox = &mailbox_,
                              .handoff = handoff_ ? &*handoff_ : nullptr,
                              .state = &state_,
                              .clock = &clock_,
                              .last_poll_ns = &segment_.last_poll_ns(),
                              .shares_core = options_.shares_core});
  run_ = [this, &stop] { loop_->Run(stop); };
  return eal.Launch(options_.index, run_);
}

}  // namespace steelyard
