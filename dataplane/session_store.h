// SPDX-License-Identifier: Apache-2.0
//
// SessionStore: the directory in which one instance's sessions outlive its process: a segment for
// each worker and the names that slots stand for. Opened by the process that holds the instance's
// lock. Whatever cannot be used is named on stderr, in one line, and replaced by nothing. Main
// thread only, but for what a worker is given.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/session_adoption.h"
#include "core/steering.h"
#include "session_segment.h"
#include "slot_journal.h"

namespace steelyard {

// Below the mount point of a hugetlbfs with pages of 2 MiB, if huge pages are wanted and there is
// one, else below /dev/shm: named after the control socket.
std::string DefaultSessionDirectory(const std::string& control_socket, bool use_huge_pages);

class SessionStore {
 public:
  struct Options {
    std::string directory;
    core::SessionCapacity capacity;  // of each worker
    uint32_t worker_count = 1;
    bool discard = false;  // begin with no sessions
    // Of the workers' cores, whose segments are made near them; missing: anywhere.
    std::vector<std::optional<uint32_t>> numa_nodes;
  };
  static net::Result<SessionStore> Open(const Options& options);

  // Of this process's workers, in their order.
  const SessionSegment& segment(uint32_t worker) const { return own_[worker].segment; }
  SlotJournal& journal() { return journal_; }

  struct Report {
    core::AdoptionReport sessions;
    uint32_t workers = 0;  // that left segments
    uint64_t adoption_ns = 0;
    uint64_t last_poll_ns = 0;  // CLOCK_BOOTTIME; 0: nobody knows
  };
  // Takes over what there is. `tables` stand on the segments' memory and nothing was done with them
  // yet; the workers' pipelines are made already.
  Report Adopt(std::span<core::SessionTable* const> tables,
               std::span<core::WorkerState* const> workers, const core::Steering& steering,
               uint64_t now_ns);

 private:
  struct Own {
    SessionSegment segment;
    bool is_new = false;
  };
  explicit SessionStore(SlotJournal journal) : journal_(std::move(journal)) {}
  net::Status OpenSegments(const Options& options);
  bool AllAreHome(uint64_t fingerprint) const;
  core::KnownSlots Known() const;
  core::AdoptionReport AdoptOld(SessionSegment& old, std::span<core::SessionTable* const> tables,
                                const core::KnownSlots& known, const core::Steering& steering,
                                uint32_t now_ms);

  SlotJournal journal_;
  std::vector<Own> own_;
  std::vector<SessionSegment> old_;  // of workers or capacities that are no more
  uint32_t segments_found_ = 0;
  uint64_t last_poll_ns_ = 0;
};

}  // namespace steelyard
