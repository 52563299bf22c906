// SPDX-License-Identifier: Apache-2.0
#include "core/home.h"

#include <algorithm>
#include <numeric>

#include "core/forward/forwarding_mode.h"
#include "core/snapshot.h"

namespace steelyard::core {
namespace {

using net::Endpoint;
using net::FlowKey;

// Services of one group have one home for a client (union-find).
class Groups {
 public:
  explicit Groups(size_t count) : parent_(count) {
    std::iota(parent_.begin(), parent_.end(), size_t{0});
  }
  size_t Find(size_t index) {
    while (parent_[index] != index) index = parent_[index] = parent_[parent_[index]];
    return index;
  }
  void Join(size_t a, size_t b) { parent_[Find(a)] = Find(b); }

 private:
  std::vector<size_t> parent_;
};

HomeByClient ByClientOf(const Service& service) {
  return {service.persistence.enabled, service.persistence.ipv4_prefix_length,
          service.persistence.ipv6_prefix_length};
}

const HomeByClient* BeforeOf(const HomeRules& before, ServiceSlot slot) {
  return slot < before.services.size() ? &before.services[slot] : nullptr;
}

void AddReplies(std::span<const Service* const> services, HomeRules& rules) {
  for (const Service* service : services) {
    if (!service->mode->is_gateway()) continue;
    for (const Backend& backend : service->backends)
      rules.replies.insert_or_assign(
          ServiceKey{backend.endpoint, service->protocol},
          HomeRules::Replies{service->address, rules.services[service->slot], backend.slot});
  }
}

FlowKey HomeKeyOfClient(const HomeByClient& by_client, const FlowKey& client_flow) {
  if (!by_client.enabled) return client_flow;
  const net::IpAddress& client = client_flow.source.address;
  const int length = client.is_v4() ? by_client.ipv4_prefix_length : by_client.ipv6_prefix_length;
  return {
      {net::NetworkOf(client, length).address, {}}, Anybody(client.family()), client_flow.protocol};
}

FlowKey HomeKeyOfUdpOutbound(const Snapshot& snapshot, const FlowKey& flow) {
  const bool is_to_outside = snapshot.outside_addresses->contains(flow.destination.address);
  const OutboundGateway* gateway = snapshot.FindOutboundGateway(flow, is_to_outside);
  if (gateway != nullptr && gateway->service->endpoint_independent_udp)
    return {flow.source, Anybody(flow.source.address.family()), flow.protocol};
  if (is_to_outside)
    return {Anybody(flow.source.address.family()), flow.destination, flow.protocol};
  return flow;
}

}  // namespace

Endpoint Anybody(net::Family family) {
  return {family == net::Family::kIpv4 ? net::IpAddress(net::Ipv4Address{})
                                       : net::IpAddress(net::Ipv6Address{}),
          {}};
}

void HomeByClient::WidenTo(const HomeByClient& other) {
  if (!other.enabled) return;
  if (!enabled) {
    *this = other;
    return;
  }
  ipv4_prefix_length = std::min(ipv4_prefix_length, other.ipv4_prefix_length);
  ipv6_prefix_length = std::min(ipv6_prefix_length, other.ipv6_prefix_length);
}

HomeRules MakeHomeRules(std::span<const Service* const> services, const HomeRules& before,
                        const std::function<bool(BackendSlot)>& is_referenced) {
  HomeRules rules;
  rules.has_endpoint_independent_udp = before.has_endpoint_independent_udp;
  Groups groups(services.size());
  std::vector<bool> shares_backend(services.size());
  std::unordered_map<ServiceKey, size_t, ServiceKeyHash> first_with;
  for (size_t i = 0; i < services.size(); ++i) {
    if (services[i]->endpoint_independent_udp) rules.has_endpoint_independent_udp = true;
    if (!services[i]->mode->is_gateway()) continue;
    for (const Backend& backend : services[i]->backends) {
      const auto [at, is_first] =
          first_with.try_emplace({backend.endpoint, services[i]->protocol}, i);
      if (is_first || at->second == i) continue;
      groups.Join(i, at->second);
      shares_backend[i] = shares_backend[at->second] = true;
    }
  }
  std::vector<HomeByClient> of_group(services.size());
  for (size_t i = 0; i < services.size(); ++i) {
    HomeByClient& group = of_group[groups.Find(i)];
    group.WidenTo(ByClientOf(*services[i]));
    if (shares_backend[i]) group.WidenTo({.enabled = true});
    if (const HomeByClient* one_before = BeforeOf(before, services[i]->slot))
      group.WidenTo(*one_before);
  }
  for (size_t i = 0; i < services.size(); ++i) {
    const ServiceSlot slot = services[i]->slot;
    if (rules.services.size() <= slot) rules.services.resize(slot + 1);
    rules.services[slot] = of_group[groups.Find(i)];
  }
  AddReplies(services, rules);
  for (const auto& [backend, replies] : before.replies)
    if (!rules.replies.contains(backend) && is_referenced(replies.backend))
      rules.replies.emplace(backend, replies);
  return rules;
}

FlowKey HomeKeyOf(const Snapshot& snapshot, const Service* service, const FlowKey& flow) {
  const HomeRules& rules = *snapshot.home_rules;
  if (service != nullptr)
    return service->slot < rules.services.size()
               ? HomeKeyOfClient(rules.services[service->slot], flow)
               : flow;
  if (!rules.replies.empty()) {
    const auto replies = rules.replies.find({flow.source, flow.protocol});
    if (replies != rules.replies.end())
      return HomeKeyOfClient(replies->second.by_client,
                             {flow.destination, replies->second.service, flow.protocol});
  }
  if (rules.has_endpoint_independent_udp && flow.protocol == net::L4Protocol::kUdp)
    return HomeKeyOfUdpOutbound(snapshot, flow);
  return flow;
}

uint32_t HomeBucketOf(const Snapshot& snapshot, const Service* service, const FlowKey& flow) {
  return snapshot.steering->BucketOf(HomeKeyOf(snapshot, service, flow));
}

uint32_t HomeBucketOf(const Snapshot& snapshot, const FlowKey& flow) {
  return HomeBucketOf(snapshot, snapshot.FindService(flow.destination, flow.protocol), flow);
}

}  // namespace steelyard::core
