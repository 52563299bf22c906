// SPDX-License-Identifier: Apache-2.0
#include "worker_unit.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>
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

}  // namespace

Result<std::unique_ptr<WorkerUnit>> WorkerUnit::Create(const Options& options) {
  Result<SessionMemory> memory = SessionMemory::Map(
      core::SessionTable::RequiredBytes(options.capacity), options.use_huge_pages);
  if (!memory) return memory.error();
  const Result<core::HashSecret> secret = RandomValue<core::HashSecret>();
  if (!secret) return secret.error();
  const Result<uint64_t> seed = RandomValue<uint64_t>();
  if (!seed) return seed.error();
  return std::unique_ptr<WorkerUnit>(new WorkerUnit(options, std::move(*memory), *secret, *seed));
}

WorkerUnit::WorkerUnit(const Options& options, SessionMemory memory, const core::HashSecret& secret,
                       uint64_t random_seed)
    : options_(options),
      memory_(std::move(memory)),
      state_(random_seed),
      sessions_(memory_.bytes(), options.capacity, secret),
      pipeline_(options.index, sessions_, state_, clock_.NowNs()) {}

worker::Worker WorkerUnit::Describe() {
  return {.index = options_.index,
          .core = options_.core,
          .mailbox = &mailbox_,
          .state = &state_,
          .sessions = &sessions_};
}

Status WorkerUnit::Launch(dpdk::Eal& eal, dpdk::PortSet& ports,
                          worker::SnapshotPublisher& snapshots, const std::atomic<bool>& stop) {
  loop_ = std::make_unique<worker::PollLoop>(
      worker::PollLoop::Parts{.worker_index = options_.index,
                              .ports = ports.QueuesOf(options_.index),
                              .pipeline = &pipeline_,
                              .snapshots = &snapshots,
                              .mailbox = &mailbox_,
                              .counters = &state_.counters,
                              .clock = &clock_});
  run_ = [this, &stop] { loop_->Run(stop); };
  return eal.Launch(options_.index, run_);
}

}  // namespace steelyard
