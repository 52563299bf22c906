// SPDX-License-Identifier: Apache-2.0
//
// Read this first: the way of a packet through a worker.
//
//   parse → steer → find session → (open session: service, schedule, local port) → rewrite → next hop
//
// Each arrow is a pass over the whole burst, and the memory that the next pass needs is prefetched by the
// one before. One object a worker; only that worker's thread calls it. Pure: no clock, no allocation, no
// system call; time comes in as an argument.
#pragma once

#include <cstdint>

#include "core/burst.h"
#include "core/counter.h"
#include "core/session_table.h"
#include "core/snapshot.h"

namespace steelyard::core {

class Pipeline {
 public:
  // `worker_index` of the snapshot's worker_count; sessions and counters outlive the pipeline.
  Pipeline(uint32_t worker_index, SessionTable& sessions, WorkerCounters& counters);

  // Gives every packet of the burst its verdict, rewrites those to be forwarded in place and names their
  // out_port. Does not count the verdicts: whoever sends the packets knows which were really sent.
  // `now_ns` never runs backwards and counts from any fixed point of this boot.
  void Process(const Snapshot& snapshot, Burst& burst, uint64_t now_ns);

  // Ends sessions whose time has come; looks at no more than `budget` of them.
  void Expire(const Snapshot& snapshot, uint64_t now_ns, uint32_t budget);
};

}  // namespace steelyard::core
