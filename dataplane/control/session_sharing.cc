// SPDX-License-Identifier: Apache-2.0
#include "control/session_sharing.h"

#include <algorithm>
#include <utility>

namespace steelyard::control {

SessionSharing::SessionSharing(std::vector<core::WorkerState*> workers)
    : workers_(std::move(workers)) {}

void SessionSharing::Follow(const core::Snapshot& snapshot) {
  if (workers_.size() < 2) return;
  services_.clear();
  backends_.clear();
  for (const auto& service : snapshot.services) {
    if (service == nullptr) continue;
    if (service->max_sessions != core::kNoSessionLimit)
      services_.push_back({service->slot, service->max_sessions});
    const bool compares = service->scheduler != nullptr && service->scheduler->compares_sessions();
    for (const core::Backend& backend : service->backends)
      if (compares || backend.max_sessions != core::kNoSessionLimit)
        backends_.push_back({backend.slot, backend.max_sessions});
  }
  DealOut();
}

void SessionSharing::DealOut() {
  for (const Limited& service : services_)
    Deal(service, &core::WorkerState::services, &core::WorkerState::service_shares);
  for (const Limited& backend : backends_)
    Deal(backend, &core::WorkerState::backends, &core::WorkerState::backend_shares);
}

template <typename Counters>
void SessionSharing::Deal(const Limited& limited,
                          std::vector<Counters> core::WorkerState::*counters,
                          std::vector<core::SessionShare> core::WorkerState::*shares) {
  std::vector<uint32_t> active;
  uint64_t total = 0;
  for (const core::WorkerState* worker : workers_) {
    active.push_back(static_cast<uint32_t>((worker->*counters)[limited.slot].sessions_active()));
    total += active.back();
  }
  const uint64_t left = limited.max_sessions > total ? limited.max_sessions - total : 0;
  // To every worker one, rather than have the last flows depend on where they arrive.
  const uint64_t part = left == 0 ? 0 : std::max<uint64_t>(left / workers_.size(), 1);
  for (size_t i = 0; i < workers_.size(); ++i) {
    core::SessionShare& share = (workers_[i]->*shares)[limited.slot];
    share.elsewhere.store(static_cast<uint32_t>(total - active[i]), std::memory_order_relaxed);
    share.ceiling.store(static_cast<uint32_t>(active[i] + part), std::memory_order_relaxed);
  }
}

}  // namespace steelyard::control
