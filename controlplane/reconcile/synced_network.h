// SPDX-License-Identifier: Apache-2.0
//
// The network as it is wanted and as the dataplane is believed to have it: a SyncedSet for each of
// its kinds, which always travel together. One thread.
#pragma once

#include <cstdint>
#include <optional>

#include "controlplane/reconcile/synced_set.h"
#include "controlplane/reconcile/wanted_network.h"
#include "dataplane.pb.h"

namespace steelyard::controlplane {

class SyncedNetwork {
 public:
  void Want(const WantedNetwork& network);

  // As of SyncedSet. Nothing to send: Take() has no value.
  uint64_t wanted_fingerprint() const;
  uint64_t applied_fingerprint() const;
  bool known() const { return routes_.known(); }
  bool in_flight() const;
  std::optional<v1::ApplyNetworkRequest> Take();
  void Acknowledge();
  void Abandon();
  void Forget();
  void MarkInSync();

 private:
  SyncedSet<v1::Route> routes_;
  SyncedSet<v1::Neighbour> neighbours_;
  SyncedSet<v1::BoxAddress> addresses_;
};

}  // namespace steelyard::controlplane
