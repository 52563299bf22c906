// SPDX-License-Identifier: Apache-2.0
//
// Keeps three things in step with the kernel's network, the dataplane's ports and the services: the
// network that the dataplane is told, the neighbours that the kernel is asked for, and the VIPs on
// the box. One thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <vector>

#include "controlplane/dataplane_client/dataplane_client.h"
#include "controlplane/netlink/neighbour_keeper.h"
#include "controlplane/netlink/network_monitor.h"
#include "controlplane/netlink/vip_keeper.h"
#include "controlplane/reconcile/reconciler.h"
#include "controlplane/state/delta.h"

namespace steelyard::controlplane {

class NetworkSync {
 public:
  // All of this room and of netlink, which must outlive this.
  struct Parts {
    DataplaneClient& client;
    Reconciler& reconciler;
    NetworkMonitor& monitor;
    NeighbourKeeper& neighbours;
    VipKeeper& vips;
  };

  // Takes the monitor's on_change and the reconciler's on_status.
  NetworkSync(boost::asio::io_context& io, Parts parts);
  NetworkSync(const NetworkSync&) = delete;
  NetworkSync& operator=(const NetworkSync&) = delete;

  void Start();
  void SetServices(const ResolvedServices& services);

 private:
  void OnStatus();
  void OnNetworkChange();
  void Update();
  void PollMissingSoon();
  void PollMissing();

  Parts parts_;
  PortList ports_;  // as the dataplane said last, also while it is away
  std::vector<net::IpAddress> destinations_;
  boost::asio::steady_timer poll_timer_;
};

}  // namespace steelyard::controlplane
