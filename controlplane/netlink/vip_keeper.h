// SPDX-License-Identifier: Apache-2.0
//
// Puts the services' VIPs on the box and takes away those it put there when their last service
// goes, never an address that somebody else added. A VIP goes on the twin whose connected prefix
// contains it (there the kernel answers ARP and neighbour discovery for it), else on lo. One
// thread.
//
// Nothing is placed before the twins are known, and nothing is taken away when this stops: the box
// keeps answering while the control plane is gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/netlink/netlink_requests.h"
#include "controlplane/netlink/network_monitor.h"
#include "controlplane/netlink/vip_record.h"

namespace steelyard::controlplane {

// Finds the interface for a VIP.
class VipInterfaces {
 public:
  VipInterfaces(const KernelNetwork& network, const std::set<std::string>& twins);
  std::string Find(const net::IpAddress& vip) const;

 private:
  std::vector<std::pair<net::Prefix, std::string>> connected_;  // to twins, the longest first
};

class VipKeeper {
 public:
  // All must outlive this; `record` is loaded.
  VipKeeper(boost::asio::io_context& io, NetlinkRequests& requests, const NetworkMonitor& monitor,
            VipRecord& record);

  void SetWanted(std::set<net::IpAddress> vips);
  void SetTwins(std::set<std::string> twins);
  // To be called after any change of the network.
  void Reconcile();

 private:
  struct Step {
    bool add = false;  // else remove
    VipPlace place;
    bool was_recorded = false;
  };

  std::set<VipPlace> WantedPlaces() const;
  std::vector<Step> PlanSteps() const;
  bool IsPresent(const VipPlace& place) const;
  bool IsSomebodyElses(const net::IpAddress& vip) const;
  bool Store(std::set<VipPlace> places);
  void Run(const Step& step);
  void OnAdded(const Step& step, int error);
  void OnRemoved(const Step& step, int error);
  void OnStepDone();
  void Complain(const VipPlace& place, const std::string& error);
  void RetryLater();

  NetlinkRequests& requests_;
  const NetworkMonitor& monitor_;
  VipRecord& record_;
  boost::asio::steady_timer retry_timer_;
  std::set<net::IpAddress> wanted_;
  bool wanted_known_ = false;
  std::optional<std::set<std::string>> twins_;
  size_t steps_under_way_ = 0;
  bool again_ = false;            // Reconcile() came during a round
  std::set<VipPlace> to_forget_;  // removed, or not added, in this round
  std::set<VipPlace> failing_;    // already complained about
};

}  // namespace steelyard::controlplane
