// SPDX-License-Identifier: Apache-2.0
//
// Has the kernel resolve the neighbours that the dataplane sends to, and keeps them fresh. The
// kernel sees none of the dataplane's traffic, so by itself it would never ask for a neighbour and
// would let a known one go stale. One thread.
//
// Two sorts: wanted ones (next hops of backends, gateways) are asked for until they answer, for as
// long as they are wanted. Reported ones (those that packets missed) are asked for once, kept fresh
// while they answer, and forgotten when they do not: a flood from forged neighbours leaves nothing.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <set>

#include "controlplane/netlink/kernel_network.h"
#include "controlplane/netlink/netlink_requests.h"
#include "controlplane/netlink/network_monitor.h"

namespace steelyard::controlplane {

inline constexpr size_t kMaxReportedNeighbours = 4096;

class NeighbourKeeper {
 public:
  // Both must outlive this.
  NeighbourKeeper(boost::asio::io_context& io, NetlinkRequests& requests,
                  const NetworkMonitor& monitor);

  void Start();
  void SetWanted(const std::set<NeighbourKey>& wanted);
  void Report(const NeighbourKey& missing);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  void Tick();
  void Refresh(const NeighbourKey& key, TimePoint& asked_at, TimePoint now);
  void Ask(const NeighbourKey& key);
  bool IsGone(const NeighbourKey& key, TimePoint asked_at, TimePoint now) const;
  const KernelNeighbour* Find(const NeighbourKey& key) const;

  NetlinkRequests& requests_;
  const NetworkMonitor& monitor_;
  boost::asio::steady_timer timer_;
  std::map<NeighbourKey, TimePoint> wanted_;  // when asked for last
  std::map<NeighbourKey, TimePoint> reported_;
};

}  // namespace steelyard::controlplane
