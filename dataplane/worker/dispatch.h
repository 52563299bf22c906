// SPDX-License-Identifier: Apache-2.0
//
// The end of a packet's way: what the pipeline judged is carried out, and counted as what really
// happened.
#pragma once

#include <span>

#include "core/burst.h"
#include "core/worker_state.h"
#include "worker/handoff.h"
#include "worker/port_queue.h"

namespace steelyard::worker {

// Passes on every packet of `burst` that is another worker's. Sends, punts or releases every other
// one as its verdict says and adds each to exactly one of the worker's verdicts; `ports` stands in
// the order of port ids and holds burst.in_port. A packet that its port or the way to the kernel
// did not take is released and counted as such; so is one that was to leave in fragments and did
// not with all of them. Answers are sent like forwarded packets, under the dropped packet's
// verdict, and those that were taken are counted. Afterwards no buffer of the burst belongs to the
// caller, and `burst.verdict` and `burst.answered` say what became of each packet. `handoff` may be
// null where nothing is handed off.
void Dispatch(core::Burst& burst, std::span<PortQueue* const> ports, Handoff* handoff,
              core::WorkerState& worker);

}  // namespace steelyard::worker
