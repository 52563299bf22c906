// SPDX-License-Identifier: Apache-2.0
#include "controlplane/reconcile/network_sync.h"

#include <chrono>
#include <set>
#include <string>
#include <utility>

namespace steelyard::controlplane {
namespace {

constexpr std::chrono::milliseconds kMissingPollInterval{50};

bool HaveSameTwins(const PortList& a, const PortList& b) {
  if (a.size() != b.size()) return false;
  for (int i = 0; i < a.size(); ++i)
    if (a[i].id() != b[i].id() || a[i].kernel_interface() != b[i].kernel_interface()) return false;
  return true;
}

}  // namespace

NetworkSync::NetworkSync(boost::asio::io_context& io, Parts parts)
    : parts_(parts), poll_timer_(io) {
  parts_.monitor.on_change = [this] { OnNetworkChange(); };
  parts_.reconciler.on_status = [this] { OnStatus(); };
}

void NetworkSync::Start() {
  PollMissingSoon();
}

void NetworkSync::SetServices(const ResolvedServices& services) {
  std::set<net::IpAddress> vips;
  std::set<net::IpAddress> backends;
  for (const v1::Service& service : services.services) {
    if (const auto vip = net::ParseIpAddress(service.address())) vips.insert(*vip);
    for (const v1::Backend& backend : service.backends())
      if (const auto address = net::ParseIpAddress(backend.address())) backends.insert(*address);
  }
  destinations_.assign(backends.begin(), backends.end());
  parts_.vips.SetWanted(std::move(vips));
  if (parts_.monitor.complete()) Update();
}

void NetworkSync::OnStatus() {
  const PortList& ports = parts_.reconciler.status()->ports();
  if (HaveSameTwins(ports, ports_)) return;
  ports_ = ports;
  std::set<std::string> names;
  for (const v1::Port& port : ports_) names.insert(port.kernel_interface());
  parts_.vips.SetTwins(std::move(names));
  if (parts_.monitor.complete()) Update();
}

void NetworkSync::OnNetworkChange() {
  Update();
  parts_.vips.Reconcile();
}

void NetworkSync::Update() {
  // Before the first status the twins are not known, and nothing about them is.
  if (ports_.empty()) return;
  const KernelNetwork& network = parts_.monitor.network();
  const Twins twins = FindTwins(network, ports_);
  parts_.neighbours.SetWanted(FindNextHops(network, twins, destinations_));
  parts_.reconciler.SetNetwork(MakeWantedNetwork(network, twins));
}

void NetworkSync::PollMissingSoon() {
  poll_timer_.expires_after(kMissingPollInterval);
  poll_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) PollMissing();
  });
}

void NetworkSync::PollMissing() {
  if (parts_.reconciler.status() == nullptr) return PollMissingSoon();
  v1::Request request;
  request.mutable_take_missing_neighbours();
  parts_.client.Send(std::move(request), [this](v1::Response* response) {
    if (response != nullptr) {
      const Twins twins = FindTwins(parts_.monitor.network(), ports_);
      for (const v1::Neighbour& missing : response->take_missing_neighbours().missing()) {
        const auto address = net::ParseIpAddress(missing.address());
        for (const auto& [index, port_id] : twins)
          if (address && port_id == missing.port_id()) parts_.neighbours.Report({index, *address});
      }
    }
    PollMissingSoon();
  });
}

}  // namespace steelyard::controlplane
