// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/vip_keeper.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <utility>

#include "controlplane/log.h"

namespace steelyard::controlplane {
namespace {

constexpr std::chrono::seconds kRetryInterval{1};

}  // namespace

VipInterfaces::VipInterfaces(const KernelNetwork& network, const std::set<std::string>& twins) {
  for (const KernelAddress& own : network.addresses) {
    if (own.prefix_length == own.address.bit_length()) continue;
    const auto link = network.links.find(own.interface_index);
    if (link == network.links.end() || !twins.contains(link->second.name)) continue;
    connected_.emplace_back(net::NetworkOf(own.address, own.prefix_length), link->second.name);
  }
  std::ranges::stable_sort(connected_, std::greater<>{},
                           [](const auto& entry) { return entry.first.length; });
}

std::string VipInterfaces::Find(const net::IpAddress& vip) const {
  const auto at = std::ranges::find_if(
      connected_, [&](const auto& entry) { return entry.first.Contains(vip); });
  return at == connected_.end() ? "lo" : at->second;
}

VipKeeper::VipKeeper(boost::asio::io_context& io, NetlinkRequests& requests,
                     const NetworkMonitor& monitor, VipRecord& record)
    : requests_(requests), monitor_(monitor), record_(record), retry_timer_(io) {}

void VipKeeper::SetWanted(std::set<net::IpAddress> vips) {
  wanted_ = std::move(vips);
  wanted_known_ = true;
  Reconcile();
}

void VipKeeper::SetTwins(std::set<std::string> twins) {
  if (twins_ == twins) return;
  twins_ = std::move(twins);
  Reconcile();
}

void VipKeeper::Reconcile() {
  if (!monitor_.complete() || !wanted_known_) return;
  if (steps_under_way_ > 0) {
    again_ = true;
    return;
  }
  const std::vector<Step> steps = PlanSteps();
  if (steps.empty()) return;
  std::set<VipPlace> places = record_.places();
  for (const Step& step : steps)
    if (step.add) places.insert(step.place);
  if (!Store(std::move(places))) return;
  steps_under_way_ = steps.size();
  for (const Step& step : steps) Run(step);
}

std::set<VipPlace> VipKeeper::WantedPlaces() const {
  const VipInterfaces interfaces(monitor_.network(), *twins_);
  std::set<VipPlace> places;
  for (const net::IpAddress& vip : wanted_) places.insert({vip, interfaces.Find(vip)});
  return places;
}

std::vector<VipKeeper::Step> VipKeeper::PlanSteps() const {
  std::vector<Step> steps;
  const std::set<VipPlace> wanted = twins_ ? WantedPlaces() : std::set<VipPlace>{};
  for (const VipPlace& place : wanted) {
    if (IsPresent(place) || monitor_.network().FindLink(place.interface) == nullptr) continue;
    const bool was_recorded = record_.places().contains(place);
    if (!was_recorded && IsSomebodyElses(place.address)) continue;
    steps.push_back({true, place, was_recorded});
  }
  for (const VipPlace& place : record_.places()) {
    // Where a wanted VIP belongs is not known without the twins; it stays where it is.
    const bool stays = twins_ ? wanted.contains(place) : wanted_.contains(place.address);
    if (!stays) steps.push_back({false, place, true});
  }
  return steps;
}

bool VipKeeper::IsPresent(const VipPlace& place) const {
  const KernelLink* link = monitor_.network().FindLink(place.interface);
  return link != nullptr && monitor_.network().addresses.contains(
                                {link->index, place.address, place.address.bit_length()});
}

bool VipKeeper::IsSomebodyElses(const net::IpAddress& vip) const {
  const auto& links = monitor_.network().links;
  const auto& addresses = monitor_.network().addresses;
  return std::any_of(addresses.begin(), addresses.end(), [&](const KernelAddress& address) {
    if (address.address != vip) return false;
    const auto link = links.find(address.interface_index);
    const bool ours = link != links.end() && address.prefix_length == vip.bit_length() &&
                      record_.places().contains({vip, link->second.name});
    return !ours;
  });
}

bool VipKeeper::Store(std::set<VipPlace> places) {
  const net::Status status = record_.Store(std::move(places));
  if (status) return true;
  Log("cannot remember VIPs", {{"error", status.error().message}});
  RetryLater();
  return false;
}

void VipKeeper::Run(const Step& step) {
  const KernelLink* link = monitor_.network().FindLink(step.place.interface);
  if (link == nullptr) {
    // Gone, and the address with it.
    to_forget_.insert(step.place);
    return OnStepDone();
  }
  if (step.add) {
    requests_.Change(BuildAddAddressRequest(link->index, step.place.address),
                     [this, step](int error) { OnAdded(step, error); });
  } else {
    requests_.Change(BuildRemoveAddressRequest(link->index, step.place.address),
                     [this, step](int error) { OnRemoved(step, error); });
  }
}

void VipKeeper::OnAdded(const Step& step, int error) {
  if (error == 0) {
    failing_.erase(step.place);
    Log("VIP added",
        {{"address", net::ToString(step.place.address)}, {"interface", step.place.interface}});
  } else {
    // EEXIST for a place that was ours before: the event that tells is still on its way.
    if (!step.was_recorded) to_forget_.insert(step.place);
    if (error != EEXIST) Complain(step.place, std::strerror(error));
  }
  OnStepDone();
}

void VipKeeper::OnRemoved(const Step& step, int error) {
  if (error == 0 || error == EADDRNOTAVAIL || error == ENODEV) {
    to_forget_.insert(step.place);
    failing_.erase(step.place);
    Log("VIP removed",
        {{"address", net::ToString(step.place.address)}, {"interface", step.place.interface}});
  } else {
    Complain(step.place, std::strerror(error));
  }
  OnStepDone();
}

void VipKeeper::OnStepDone() {
  if (--steps_under_way_ > 0) return;
  std::set<VipPlace> places = record_.places();
  for (const VipPlace& place : to_forget_) places.erase(place);
  to_forget_.clear();
  const bool stored = Store(std::move(places));
  if (std::exchange(again_, false) && stored) Reconcile();
}

void VipKeeper::Complain(const VipPlace& place, const std::string& error) {
  if (failing_.insert(place).second)
    Log("cannot place or remove VIP", {{"address", net::ToString(place.address)},
                                       {"interface", place.interface},
                                       {"error", error}});
  RetryLater();
}

void VipKeeper::RetryLater() {
  retry_timer_.expires_after(kRetryInterval);
  retry_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) Reconcile();
  });
}

}  // namespace steelyard::controlplane
