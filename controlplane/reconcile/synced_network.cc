// SPDX-License-Identifier: Apache-2.0
#include "controlplane/reconcile/synced_network.h"

namespace steelyard::controlplane {

void SyncedNetwork::Want(const WantedNetwork& network) {
  routes_.Assign(network.routes);
  neighbours_.Assign(network.neighbours);
  addresses_.Assign(network.addresses);
}

uint64_t SyncedNetwork::wanted_fingerprint() const {
  return routes_.wanted_fingerprint() + neighbours_.wanted_fingerprint() +
         addresses_.wanted_fingerprint();
}

uint64_t SyncedNetwork::applied_fingerprint() const {
  return routes_.applied_fingerprint() + neighbours_.applied_fingerprint() +
         addresses_.applied_fingerprint();
}

bool SyncedNetwork::in_flight() const {
  return routes_.in_flight() || neighbours_.in_flight() || addresses_.in_flight();
}

std::optional<v1::ApplyNetworkRequest> SyncedNetwork::Take() {
  const auto routes = routes_.Take();
  const auto neighbours = neighbours_.Take();
  const auto addresses = addresses_.Take();
  if (routes.empty() && neighbours.empty() && addresses.empty()) return std::nullopt;
  v1::ApplyNetworkRequest request;
  request.set_replace(routes.replace);
  for (const v1::Route* route : routes.put) *request.add_routes() = *route;
  for (const v1::Route* route : routes.removed) request.add_removed_routes(route->prefix());
  for (const v1::Neighbour* neighbour : neighbours.put) *request.add_neighbours() = *neighbour;
  for (const v1::Neighbour* neighbour : neighbours.removed) {
    v1::Neighbour* removed = request.add_removed_neighbours();
    removed->set_port_id(neighbour->port_id());
    removed->set_address(neighbour->address());
  }
  for (const v1::BoxAddress* address : addresses.put) *request.add_addresses() = *address;
  for (const v1::BoxAddress* address : addresses.removed) {
    v1::BoxAddress* removed = request.add_removed_addresses();
    *removed = *address;
    removed->clear_prefix_length();
  }
  return request;
}

void SyncedNetwork::Acknowledge() {
  routes_.Acknowledge();
  neighbours_.Acknowledge();
  addresses_.Acknowledge();
}

void SyncedNetwork::Abandon() {
  routes_.Abandon();
  neighbours_.Abandon();
  addresses_.Abandon();
}

void SyncedNetwork::Forget() {
  routes_.Forget();
  neighbours_.Forget();
  addresses_.Forget();
}

void SyncedNetwork::MarkInSync() {
  routes_.MarkInSync();
  neighbours_.MarkInSync();
  addresses_.MarkInSync();
}

}  // namespace steelyard::controlplane
