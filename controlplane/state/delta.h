// SPDX-License-Identifier: Apache-2.0
//
// What to tell the dataplane when its services change from one resolved list (config/resolve.h) to
// another, and the number by which both ends know that they hold the same ones. Pure, any thread.
//
// Law: what MakeDelta(a, b) says, done to a, gives the services of b.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane.pb.h"

namespace steelyard::controlplane {

using ResolvedServices = std::vector<v1::Service>;

struct ServicesDelta {
  ResolvedServices changed;          // added or changed, each whole
  std::vector<std::string> removed;  // names
  bool empty() const { return changed.empty() && removed.empty(); }
};

ServicesDelta MakeDelta(const ResolvedServices& before, const ResolvedServices& after);

v1::ApplyServicesRequest MakeDeltaRequest(const ServicesDelta& delta, uint64_t generation,
                                          uint64_t base_generation);
v1::ApplyServicesRequest MakeReplaceRequest(const ResolvedServices& services, uint64_t generation);

// To compare with GetStatusResponse.services_fingerprint.
uint64_t ServicesFingerprint(const ResolvedServices& services);

}  // namespace steelyard::controlplane
