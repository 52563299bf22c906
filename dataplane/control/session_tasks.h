// SPDX-License-Identifier: Apache-2.0
//
// Reading a worker's sessions: tasks that the worker itself carries out between bursts, a bounded
// piece at a time, into memory that was set aside before. Created and read on the main thread.
#pragma once

#include <optional>
#include <vector>

#include "core/pipeline.h"
#include "core/snapshot.h"
#include "worker/task.h"

namespace steelyard::control {

struct SessionView {
  core::SessionTable::Flow forward;
  core::FlowState to_backend;
  core::FlowState to_client;
  core::ServiceSlot service_slot = 0;
  uint32_t idle_ms = 0;
  uint32_t age_ms = 0;
  uint32_t expires_in_ms = 0;
};

// Only what is set must match.
struct SessionSelection {
  std::optional<core::ServiceSlot> service_slot;
  std::optional<net::Prefix> client;
  std::optional<net::IpAddress> backend;
  std::optional<net::L4Protocol> protocol;  // kIcmp: of either family

  bool Accepts(const SessionView& session) const;
};

// Collects matching sessions until `capacity` of them are found or the table's end is reached.
class ListSessionsTask : public worker::Task {
 public:
  // `selection` outlives it.
  ListSessionsTask(const SessionSelection& selection, size_t capacity);

  // Before each run: the next one goes on from where the last one stopped.
  void Prepare(const core::Snapshot& snapshot);
  bool Step(core::Pipeline& pipeline, uint64_t now_ns) override;

  const std::vector<SessionView>& found() const { return found_; }
  bool at_end() const { return at_end_; }

 private:
  static constexpr uint32_t kSessionsPerStep = 64;

  const core::Snapshot* snapshot_ = nullptr;
  const SessionSelection& selection_;
  std::vector<SessionView> found_;
  core::SessionId next_ = 0;
  bool at_end_ = false;
};

class LookupTask : public worker::Task {
 public:
  LookupTask(const core::Snapshot& snapshot, const net::FlowKey& key)
      : snapshot_(snapshot), key_(key) {}

  bool Step(core::Pipeline& pipeline, uint64_t now_ns) override;

  core::Pipeline::Preview preview;
  std::optional<SessionView> session;

 private:
  const core::Snapshot& snapshot_;
  const net::FlowKey key_;
};

}  // namespace steelyard::control
