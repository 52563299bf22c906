// SPDX-License-Identifier: Apache-2.0
//
// Snapshot: the compiled configuration, immutable. Workers pin one for a burst; the main thread
// builds the next from the last, sharing every part that did not change, and frees the last when no
// worker can still be reading it (worker/snapshot_publisher.h).
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/home.h"
#include "core/network.h"
#include "core/outbound_gateway.h"
#include "core/service.h"
#include "core/steering.h"

namespace steelyard::core {

using ServiceIndex = std::unordered_map<ServiceKey, ServiceSlot, ServiceKeyHash>;
using AddressSet = std::unordered_set<net::IpAddress, net::AddressHash>;

struct Snapshot {
  uint64_t generation = 0;  // of the services
  // Sessions of an earlier process are there, and their services are to come: flows wait, rather
  // than be taken for nobody's and be refused by the kernel.
  bool awaits_configuration = false;
  // Sessions that cached a next hop under another number look it up again.
  uint32_t forwarding_generation = 1;
  // Adding this to a `now_ns` gives the time since the Unix epoch: clocks that backends see
  // (initial sequence numbers, timestamps) must go on rising over a restart of the box.
  uint64_t unix_epoch_offset_ns = 0;
  // Whether workers look for packets of sessions that are not theirs
  // (WorkerCounters::foreign_packets).
  bool checks_ownership = false;
  std::vector<PortInfo> ports;
  std::shared_ptr<const Steering> steering = SteeringOfOneWorker();
  std::shared_ptr<const HomeRules> home_rules = std::make_shared<HomeRules>();
  std::shared_ptr<const Network> network = std::make_shared<Network>();
  std::shared_ptr<const ServiceIndex> index = std::make_shared<ServiceIndex>();
  // VIPs, local and outside addresses: TCP and UDP to these is ours.
  std::shared_ptr<const AddressSet> own_addresses = std::make_shared<AddressSet>();
  // Backends that the box is the gateway of: fragments of these may be ours wherever they go.
  std::shared_ptr<const AddressSet> gateway_backends = std::make_shared<AddressSet>();
  std::vector<std::shared_ptr<const Service>> services;  // by slot; null where unused
  // The first that takes a flow has it. Their services stand in `services` too.
  std::shared_ptr<const OutboundGateways> outbound_gateways = std::make_shared<OutboundGateways>();
  std::shared_ptr<const AddressSet> outside_addresses = std::make_shared<AddressSet>();

  const Service* FindService(const net::Endpoint& address, net::L4Protocol protocol) const {
    const auto at = index->find({address, protocol});
    return at == index->end() ? nullptr : services[at->second].get();
  }
  // `goes_round`: a packet to one of our outside addresses that another inside host is to get.
  // Null: no gateway takes the flow.
  const OutboundGateway* FindOutboundGateway(const net::FlowKey& key, bool goes_round) const {
    const net::IpAddress& destination = key.destination.address;
    if (!goes_round && IsOfTheBox(destination)) return nullptr;
    for (const OutboundGateway& gateway : *outbound_gateways)
      if (gateway.TakesFrom(key.source.address, key.protocol) &&
          (goes_round || gateway.TakesTo(destination)))
        return &gateway;
    return nullptr;
  }
  // Null when the service is gone (its sessions may go on).
  const Service* service(ServiceSlot slot) const {
    return slot < services.size() ? services[slot].get() : nullptr;
  }
  bool IsOfTheBox(const net::IpAddress& address) const {
    return own_addresses->contains(address) || network->IsBoxAddress(address);
  }
};

// With nothing configured: the box is transparent, everything goes to the kernel and back.
inline Snapshot EmptySnapshot(std::vector<PortInfo> ports, std::shared_ptr<const Steering> steering,
                              uint64_t unix_epoch_offset_ns) {
  Snapshot snapshot;
  snapshot.steering = std::move(steering);
  snapshot.unix_epoch_offset_ns = unix_epoch_offset_ns;
  snapshot.ports = std::move(ports);
  return snapshot;
}

}  // namespace steelyard::core
