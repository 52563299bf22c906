// SPDX-License-Identifier: Apache-2.0
//
// What to tell the dataplane when its services and outbound gateways change from one resolved state
// (config/resolve.h) to another, and the number by which both ends know that they hold the same
// ones. Pure, any thread.
//
// Law: what MakeDelta(a, b) says, done to a, gives the services and outbound gateways of b.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/config/resolve.h"
#include "dataplane.pb.h"

namespace steelyard::controlplane {

struct ServicesDelta {
  std::vector<v1::Service> changed;  // added or changed, each whole
  std::vector<std::string> removed;  // names
  // All of them, changed or not: they are few, and their order is part of what they say.
  std::vector<v1::OutboundGateway> outbound_gateways;
};

ServicesDelta MakeDelta(const ResolvedServices& before, const ResolvedServices& after);

v1::ApplyServicesRequest MakeDeltaRequest(const ServicesDelta& delta, uint64_t generation,
                                          uint64_t base_generation);
v1::ApplyServicesRequest MakeReplaceRequest(const ResolvedServices& services, uint64_t generation);

// To compare with GetStatusResponse.services_fingerprint.
uint64_t ServicesFingerprint(const ResolvedServices& services);

}  // namespace steelyard::controlplane
