// SPDX-License-Identifier: Apache-2.0
//
// Adoption: a worker that starts takes over the sessions that an earlier process left in memory,
// however that one ended. Tables of workers that are there again are rebuilt where they are
// (AdoptInPlace); sessions whose home is elsewhere now are moved (MoveHome), one at a time and so
// that at every instant each is whole in one table at least. Killed in between, it is done again
// from the start: a session found in two tables is kept in one of them.
//
// Nothing in that memory is taken on trust: a session that could not be one of ours is dropped.
//
// Before the workers run, on the main thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/session_table.h"
#include "core/steering.h"
#include "core/worker_state.h"

namespace steelyard::core {

// Numbers that stand for something, so that sessions may refer to them.
struct KnownSlots {
  std::vector<bool> services;  // by ServiceSlot; missing: not known
  std::vector<bool> backends;  // by BackendSlot
};

struct AdoptionReport {
  uint64_t sessions = 0;  // adopted; without templates and redirects
  uint64_t templates = 0;
  uint64_t incomplete = 0;  // were being opened
  uint64_t refused = 0;     // impossible
  uint64_t unplaced = 0;    // found twice, or no room
  uint64_t moved = 0;       // to another worker or capacity
  uint64_t dropped() const { return incomplete + refused + unplaced; }
  void Add(const AdoptionReport& other);
};

// `table` stands on memory that a table of the same capacity was left in; nothing was done with it
// before. Redirects to `redirect_targets` workers are kept, others dropped. Children, counters and
// timers are for FinishAdoption. Of the report all but `sessions`, `templates`.
AdoptionReport AdoptInPlace(SessionTable& table, const KnownSlots& known, uint32_t redirect_targets,
                            uint32_t now_ms);

// Moves every session of `source` to the table of its home, if that is another one (`source` may be
// none of `tables`, which are by worker). Redirects do not move. Of the report `moved` and
// `unplaced`.
AdoptionReport MoveHome(SessionTable& source, std::span<SessionTable* const> tables,
                        const Steering& steering);

// After every session is home: where the replies of one are steered to another worker, because its
// local port was chosen when that was its home, they find a redirect there.
void LeaveRedirects(std::span<SessionTable* const> tables, const Steering& steering,
                    uint32_t now_ms);

// Once all sessions are where they belong, and after the worker's Pipeline was made: counts
// children, counts sessions in `worker` as created, and arms timers, so that within
// `first_looks_ms` every session was looked at (its service, which knows its timeouts, is not there
// yet). Of the report `sessions` and `templates`.
inline constexpr uint32_t kFirstLooksMs = 32'768;
AdoptionReport FinishAdoption(SessionTable& table, WorkerState& worker, uint32_t now_ms,
                              uint32_t first_looks_ms = kFirstLooksMs);

}  // namespace steelyard::core
