// SPDX-License-Identifier: Apache-2.0
//
// Scheduler: which backend a new session goes to. A scheduler is compiled with its service and
// immutable; what moves (the cursor, the number of sessions) is the worker's and comes in as an
// argument. Choose is called when a session opens, never per packet.
//
// To add one: a file in this folder with a class and its Make function, and one row in registry.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "net/flow_key.h"

namespace steelyard::core {

struct Backend;
struct BackendCounters;
struct SessionShare;

inline constexpr uint32_t kNoBackend = UINT32_MAX;

// The worker's side of a choice.
struct SchedulingContext {
  const net::FlowKey& client_flow;
  std::span<const Backend> backends;          // of the service
  std::span<const BackendCounters> counters;  // of this worker, by slot
  std::span<const SessionShare> shares;       // the same
  uint32_t& cursor;                           // of this worker and service
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  // Index into the service's backends of one that takes sessions (scheduler/availability.h);
  // kNoBackend when none does.
  virtual uint32_t Choose(const SchedulingContext& context) const = 0;
  // Whether it looks at how many sessions the backends have.
  virtual bool compares_sessions() const { return false; }
};

struct SchedulerKind {
  std::string_view name;  // as in YAML, CLI and API
  std::shared_ptr<const Scheduler> (*make)(std::span<const Backend> backends);
};

// All kinds there are; null when the name is none of them.
std::span<const SchedulerKind> SchedulerKinds();
const SchedulerKind* FindSchedulerKind(std::string_view name);

// One a file in this folder.
std::shared_ptr<const Scheduler> MakeWeightedRoundRobin(std::span<const Backend> backends);
std::shared_ptr<const Scheduler> MakeWeightedLeastConnections(std::span<const Backend> backends);
std::shared_ptr<const Scheduler> MakeMaglev(std::span<const Backend> backends);
std::shared_ptr<const Scheduler> MakeRoundRobin(std::span<const Backend> backends);
std::shared_ptr<const Scheduler> MakeLeastConnections(std::span<const Backend> backends);
std::shared_ptr<const Scheduler> MakeSourceHash(std::span<const Backend> backends);

}  // namespace steelyard::core
