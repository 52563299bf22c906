// SPDX-License-Identifier: Apache-2.0
#include "worker/poll_loop.h"

#include <sched.h>

#include <utility>

#include "worker/dispatch.h"

namespace steelyard::worker {
namespace {

// Sessions that the timer wheel may look at in one iteration. At a million sessions of 30 s and
// 100,000 iterations a second this is two orders of magnitude more than what falls due.
constexpr uint32_t kExpireBudget = 64;

}  // namespace

PollLoop::PollLoop(Parts parts) : parts_(std::move(parts)) {}

void PollLoop::Run(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {
    const bool was_idle = Poll() == 0;
    if (was_idle && parts_.shares_core) sched_yield();
  }
  parts_.mailbox->Leave();
  parts_.snapshots->Leave(parts_.worker_index);
}

uint32_t PollLoop::Poll() {
  const core::Snapshot& snapshot = parts_.snapshots->Pin(parts_.worker_index);
  const uint64_t now_ns = parts_.clock->NowNs();
  if (parts_.last_poll_ns != nullptr)
    parts_.last_poll_ns->store(now_ns, std::memory_order_relaxed);
  uint32_t received = 0;
  for (PortQueue* port : parts_.ports) received += PollPort(*port, snapshot, now_ns);
  if (parts_.handoff != nullptr) received += PollHandoff(snapshot, now_ns);
  PassOn();
  parts_.pipeline->Expire(snapshot, now_ns, kExpireBudget);
  parts_.mailbox->Step(*parts_.pipeline, now_ns);
  parts_.state->counters.polls.Add(1);
  if (received != 0) parts_.state->counters.busy_polls.Add(1);
  return received;
}

uint32_t PollLoop::PollPort(PortQueue& port, const core::Snapshot& snapshot, uint64_t now_ns) {
  port.Receive(burst_);
  if (burst_.count == 0) return 0;
  parts_.state->counters.received_packets.Add(burst_.count);
  ProcessAndDispatch(burst_, snapshot, now_ns);
  return burst_.count;
}

uint32_t PollLoop::PollHandoff(const core::Snapshot& snapshot, uint64_t now_ns) {
  uint32_t received = 0;
  for (uint32_t from = 0; from < parts_.handoff->worker_count(); ++from) {
    parts_.handoff->Receive(from, burst_);
    if (burst_.count == 0) continue;
    parts_.state->counters.handoff_received.Add(burst_.count);
    ProcessAndDispatch(burst_, snapshot, now_ns);
    received += burst_.count;
  }
  return received;
}

void PollLoop::ProcessAndDispatch(core::Burst& burst, const core::Snapshot& snapshot,
                                  uint64_t now_ns) {
  parts_.pipeline->Process(snapshot, burst, now_ns);
  Dispatch(burst, parts_.ports, parts_.handoff, *parts_.state);
  const core::Reassembler* reassembler = parts_.state->reassembler;
  if (reassembler != nullptr && reassembler->HasComplete()) [[unlikely]]
    ProcessReassembled(burst.in_port, snapshot, now_ns);
}

void PollLoop::ProcessReassembled(core::PortId in_port, const core::Snapshot& snapshot,
                                  uint64_t now_ns) {
  core::Reassembler& reassembler = *parts_.state->reassembler;
  core::Burst burst;
  burst.in_port = in_port;
  while (reassembler.HasComplete()) {
    reassembler.TakeComplete(burst);
    parts_.state->counters.reassembled_packets.Add(burst.count);
    parts_.pipeline->Process(snapshot, burst, now_ns);
    Dispatch(burst, parts_.ports, parts_.handoff, *parts_.state);
    reassembler.ReleaseTaken();
  }
}

void PollLoop::PassOn() {
  for (PortQueue* port : parts_.ports) {
    port->SendRelayed();
    const PortQueue::FromKernel moved = port->SendFromKernel();
    if (moved.received != 0) parts_.state->counters.kernel_received_packets.Add(moved.received);
    if (moved.dropped != 0) parts_.state->counters.kernel_dropped_packets.Add(moved.dropped);
  }
}

}  // namespace steelyard::worker
