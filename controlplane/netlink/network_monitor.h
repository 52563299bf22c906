// SPDX-License-Identifier: Apache-2.0
//
// Keeps a KernelNetwork true to the kernel of this network namespace. Owned by, called from and
// calling back on the io_context's one thread.
//
// Links, addresses and neighbours follow the kernel's events one by one, and are dumped whole at
// the start and whenever the kernel says that it has dropped events. Routes are dumped whole, a
// moment after anything that may have changed them, because their events do not tell all: the
// kernel takes IPv4 routes away with an interface or an address without a word, and reports a
// change of one IPv6 path in several ways. That moment grows with the time a dump takes.
//
// To follow one more kind of the kernel's objects: its struct in kernel_network.h, its parser in
// netlink_message.cc, and here a row of dumps_, its event group and its Apply.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "controlplane/netlink/kernel_network.h"
#include "controlplane/netlink/netlink_message.h"
#include "controlplane/netlink/netlink_requests.h"
#include "controlplane/netlink/netlink_socket.h"

namespace steelyard::controlplane {

class NetworkMonitor {
 public:
  // Throws std::system_error when the kernel grants no netlink socket. `requests` must outlive
  // this.
  NetworkMonitor(boost::asio::io_context& io, NetlinkRequests& requests);
  NetworkMonitor(const NetworkMonitor&) = delete;
  NetworkMonitor& operator=(const NetworkMonitor&) = delete;

  // After any change, and once when the first dump is complete. Not before that. Changes that come
  // soon after each other are told together, the later the longer the last call took: to follow
  // 10,000 addresses one by one must not take all of the loop. Set before Start().
  std::function<void()> on_change;

  void Start();
  bool complete() const { return complete_; }
  const KernelNetwork& network() const { return network_; }

 private:
  struct Dump {
    int type;
    int family;
    bool running = false;
    bool again = false;  // asked for while it was running
    std::vector<NetlinkEvent> collected;
    std::vector<NetlinkEvent> meanwhile;  // events that came while it was running
  };

  void WaitForEvents();
  void ReadEvents();
  void OnEvent(const NetlinkEvent& event);
  void DumpAll();
  void StartDump(Dump& dump);
  void FinishDump(Dump& dump, int error);
  void Install(const Dump& dump);
  void InstallRoutes(const Dump& dump);
  Dump* DumpOf(const NetlinkEvent& event);
  // True when the network is another one afterwards.
  bool Apply(const NetlinkEvent& event);
  void DumpRoutesSoon();
  void NotifySoon();

  NetlinkRequests& requests_;
  NetlinkSocket events_;
  std::array<Dump, 5> dumps_;
  KernelNetwork network_;
  bool complete_ = false;
  bool notify_pending_ = false;
  bool route_dump_pending_ = false;
  boost::asio::steady_timer notify_timer_;
  boost::asio::steady_timer route_timer_;
  boost::asio::steady_timer repeat_timer_;
  std::chrono::steady_clock::time_point next_notify_;
  std::chrono::steady_clock::time_point route_dump_started_;
  std::chrono::steady_clock::duration route_dump_duration_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace steelyard::controlplane
