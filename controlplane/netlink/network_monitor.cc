// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/network_monitor.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "controlplane/log.h"

namespace steelyard::controlplane {

using namespace std::chrono_literals;

namespace {

constexpr auto kRouteDumpDelay = 10ms;
// Times as long as a dump or a call of on_change took: what a large table may take of the loop
// stays bounded.
constexpr int kRest = 10;
constexpr auto kFailedDumpDelay = 100ms;

template <typename T>
const T* SubjectOf(const NetlinkEvent& event) {
  return std::get_if<T>(&event.subject);
}
using NeighbourEntry = std::pair<NeighbourKey, KernelNeighbour>;

// The two that act on one container; true when it has changed.
template <typename Key, typename Value>
bool Put(std::map<Key, Value>& map, const Key& key, const Value& value) {
  const auto [at, inserted] = map.try_emplace(key, value);
  if (inserted) return true;
  if (at->second == value) return false;
  at->second = value;
  return true;
}

bool ApplyLink(KernelNetwork& network, const KernelLink& link, bool removed) {
  if (!removed) return Put(network.links, link.index, link);
  std::erase_if(network.addresses, [&](const auto& a) { return a.interface_index == link.index; });
  std::erase_if(network.neighbours, [&](const auto& n) { return n.first.first == link.index; });
  return network.links.erase(link.index) > 0;
}

bool ApplyAddress(KernelNetwork& network, const KernelAddress& address, bool removed) {
  if (removed) return network.addresses.erase(address) > 0;
  return network.addresses.insert(address).second;
}

bool ApplyNeighbour(KernelNetwork& network, const NeighbourEntry& entry, bool removed) {
  if (removed) return network.neighbours.erase(entry.first) > 0;
  return Put(network.neighbours, entry.first, entry.second);
}

}  // namespace

NetworkMonitor::NetworkMonitor(boost::asio::io_context& io, NetlinkRequests& requests)
    : requests_(requests),
      events_(io, {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                   RTNLGRP_IPV6_ROUTE, RTNLGRP_NEIGH}),
      dumps_{{{RTM_GETLINK, AF_UNSPEC},
              {RTM_GETADDR, AF_UNSPEC},
              {RTM_GETNEIGH, AF_UNSPEC},
              {RTM_GETROUTE, AF_INET},
              {RTM_GETROUTE, AF_INET6}}},
      notify_timer_(io),
      route_timer_(io),
      repeat_timer_(io) {}

void NetworkMonitor::Start() {
  WaitForEvents();
  DumpAll();
}

void NetworkMonitor::WaitForEvents() {
  events_.AsyncWait([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) ReadEvents();
  });
}

void NetworkMonitor::ReadEvents() {
  const int error = events_.Receive([this](nlmsghdr* header) {
    if (const auto event = ParseNetlinkEvent(header)) OnEvent(*event);
  });
  if (error != 0 && error != EAGAIN) {
    Log("netlink events lost, reading everything again", {{"error", std::strerror(error)}});
    DumpAll();
  }
  WaitForEvents();
}

void NetworkMonitor::OnEvent(const NetlinkEvent& event) {
  if (SubjectOf<KernelRoute>(event) != nullptr) return DumpRoutesSoon();
  if (Dump* dump = DumpOf(event); dump != nullptr && dump->running)
    dump->meanwhile.push_back(event);
  if (!Apply(event)) return;
  if (SubjectOf<NeighbourEntry>(event) == nullptr) DumpRoutesSoon();
  NotifySoon();
}

NetworkMonitor::Dump* NetworkMonitor::DumpOf(const NetlinkEvent& event) {
  if (SubjectOf<KernelLink>(event)) return &dumps_[0];
  if (SubjectOf<KernelAddress>(event)) return &dumps_[1];
  if (SubjectOf<NeighbourEntry>(event)) return &dumps_[2];
  return nullptr;
}

bool NetworkMonitor::Apply(const NetlinkEvent& event) {
  if (const auto* link = SubjectOf<KernelLink>(event))
    return ApplyLink(network_, *link, event.removed);
  if (const auto* address = SubjectOf<KernelAddress>(event))
    return ApplyAddress(network_, *address, event.removed);
  if (const auto* neighbour = SubjectOf<NeighbourEntry>(event))
    return ApplyNeighbour(network_, *neighbour, event.removed);
  return false;
}

void NetworkMonitor::DumpAll() {
  for (Dump& dump : dumps_) StartDump(dump);
}

void NetworkMonitor::StartDump(Dump& dump) {
  if (dump.running) {
    dump.again = true;
    return;
  }
  dump.running = true;
  dump.again = false;
  dump.collected.clear();
  dump.meanwhile.clear();
  if (dump.type == RTM_GETROUTE) route_dump_started_ = std::chrono::steady_clock::now();
  requests_.Dump(
      BuildDumpRequest(dump.type, dump.family),
      [&dump](nlmsghdr* header) {
        if (auto event = ParseNetlinkEvent(header)) dump.collected.push_back(std::move(*event));
      },
      [this, &dump](int error) { FinishDump(dump, error); });
}

void NetworkMonitor::FinishDump(Dump& dump, int error) {
  dump.running = false;
  if (error == 0) {
    Install(dump);
  } else {
    if (error != EINTR) Log("netlink dump failed", {{"error", std::strerror(error)}});
    dump.again = true;
  }
  bool all_done = true;
  for (const Dump& other : dumps_) all_done &= !other.running && !other.again;
  if (all_done && !complete_) {
    complete_ = true;
    NotifySoon();
  }
  if (!dump.again) return;
  repeat_timer_.expires_after(kFailedDumpDelay);
  repeat_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    for (Dump& other : dumps_)
      if (other.again && !other.running) StartDump(other);
  });
}

void NetworkMonitor::Install(const Dump& dump) {
  if (dump.type == RTM_GETROUTE) return InstallRoutes(dump);
  const auto renew = [this, &dump](auto KernelNetwork::*container) {
    const auto before = std::exchange(network_.*container, {});
    for (const NetlinkEvent& event : dump.collected) Apply(event);
    // An event may be older than what the dump says; then a later one is still to come.
    for (const NetlinkEvent& event : dump.meanwhile) Apply(event);
    if (network_.*container != before) NotifySoon();
  };
  switch (dump.type) {
    case RTM_GETLINK:
      return renew(&KernelNetwork::links);
    case RTM_GETADDR:
      return renew(&KernelNetwork::addresses);
    default:
      return renew(&KernelNetwork::neighbours);
  }
}

void NetworkMonitor::InstallRoutes(const Dump& dump) {
  // IPv4 stands first, whichever family was read last.
  const auto is_other = [&dump](const KernelRoute& route) {
    return route.prefix.address.is_v4() != (dump.family == AF_INET);
  };
  std::vector<KernelRoute> routes;
  std::copy_if(network_.routes.begin(), network_.routes.end(), std::back_inserter(routes),
               is_other);
  const auto middle = dump.family == AF_INET ? routes.begin() : routes.end();
  std::vector<KernelRoute> read;
  for (const NetlinkEvent& event : dump.collected)
    if (const auto* route = SubjectOf<KernelRoute>(event)) read.push_back(*route);
  routes.insert(middle, read.begin(), read.end());
  route_dump_duration_ = std::chrono::steady_clock::now() - route_dump_started_;
  if (routes == network_.routes) return;
  network_.routes = std::move(routes);
  NotifySoon();
}

void NetworkMonitor::DumpRoutesSoon() {
  if (route_dump_pending_) return;
  route_dump_pending_ = true;
  route_timer_.expires_after(kRouteDumpDelay + kRest * route_dump_duration_);
  route_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    route_dump_pending_ = false;
    for (Dump& dump : dumps_)
      if (dump.type == RTM_GETROUTE) StartDump(dump);
  });
}

void NetworkMonitor::NotifySoon() {
  if (!complete_ || notify_pending_) return;
  notify_pending_ = true;
  notify_timer_.expires_at(next_notify_);
  notify_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    notify_pending_ = false;
    const auto began = std::chrono::steady_clock::now();
    if (on_change) on_change();
    const auto ended = std::chrono::steady_clock::now();
    next_notify_ = ended + kRest * (ended - began);
  });
}

}  // namespace steelyard::controlplane
