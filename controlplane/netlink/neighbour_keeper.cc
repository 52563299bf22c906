// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/neighbour_keeper.h"

#include <utility>

namespace steelyard::controlplane {

using namespace std::chrono_literals;

namespace {

constexpr auto kAskInterval = 1s;
// At most the kernel's delay_first_probe_time (5 s): a reachable neighbour that counts as used
// within it is probed again when its time is up, instead of going stale.
constexpr auto kRefreshInterval = 4s;
// The kernel itself gives up after three questions a second apart.
constexpr auto kReportedPatience = 5s;

}  // namespace

NeighbourKeeper::NeighbourKeeper(boost::asio::io_context& io, NetlinkRequests& requests,
                                 const NetworkMonitor& monitor)
    : requests_(requests), monitor_(monitor), timer_(io) {}

void NeighbourKeeper::Start() {
  timer_.expires_after(kAskInterval);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    Tick();
    Start();
  });
}

void NeighbourKeeper::SetWanted(const std::set<NeighbourKey>& wanted) {
  std::erase_if(wanted_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  const TimePoint now = std::chrono::steady_clock::now();
  for (const NeighbourKey& key : wanted)
    if (wanted_.try_emplace(key, now).second) Ask(key);
}

void NeighbourKeeper::Report(const NeighbourKey& missing) {
  if (wanted_.contains(missing) || reported_.size() >= kMaxReportedNeighbours) return;
  const TimePoint now = std::chrono::steady_clock::now();
  const auto [entry, is_new] = reported_.try_emplace(missing, now);
  // Not there although it was asked for: the kernel has forgotten it, with the twin's carrier say.
  const bool is_lost = !is_new && Find(missing) == nullptr && now - entry->second >= kAskInterval;
  if (!is_new && !is_lost) return;
  entry->second = now;
  Ask(missing);
}

void NeighbourKeeper::Tick() {
  const TimePoint now = std::chrono::steady_clock::now();
  for (auto& [key, asked_at] : wanted_) Refresh(key, asked_at, now);
  std::erase_if(reported_, [&](const auto& entry) {
    return wanted_.contains(entry.first) || IsGone(entry.first, entry.second, now);
  });
  for (auto& [key, asked_at] : reported_)
    if (Find(key) != nullptr) Refresh(key, asked_at, now);
}

void NeighbourKeeper::Refresh(const NeighbourKey& key, TimePoint& asked_at, TimePoint now) {
  const KernelNeighbour* neighbour = Find(key);
  const bool usable = neighbour != nullptr && neighbour->state == NeighbourState::kUsable;
  if (usable && now - asked_at < kRefreshInterval) return;
  asked_at = now;
  Ask(key);
}

bool NeighbourKeeper::IsGone(const NeighbourKey& key, TimePoint asked_at, TimePoint now) const {
  const KernelNeighbour* neighbour = Find(key);
  if (neighbour != nullptr && neighbour->state == NeighbourState::kFailed) return true;
  return neighbour == nullptr && now - asked_at > kReportedPatience;
}

const KernelNeighbour* NeighbourKeeper::Find(const NeighbourKey& key) const {
  const auto at = monitor_.network().neighbours.find(key);
  return at == monitor_.network().neighbours.end() ? nullptr : &at->second;
}

void NeighbourKeeper::Ask(const NeighbourKey& key) {
  // Asked for, a permanent neighbour would no longer be one.
  const KernelNeighbour* neighbour = Find(key);
  if (neighbour != nullptr && neighbour->is_permanent) return;
  // Whether it came of anything shows in the kernel's neighbour table.
  requests_.Change(BuildResolveRequest(key), {});
}

}  // namespace steelyard::controlplane
