// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/delta.h"

#include <string_view>
#include <unordered_map>

#include "proto/fingerprint.h"

namespace steelyard::controlplane {

ServicesDelta MakeDelta(const ResolvedServices& before, const ResolvedServices& after) {
  std::unordered_map<std::string_view, const v1::Service*> known;
  for (const v1::Service& service : before) known.emplace(service.name(), &service);

  ServicesDelta delta;
  for (const v1::Service& service : after) {
    const auto found = known.find(service.name());
    // Services hold no maps, so equal ones have equal bytes.
    const bool same =
        found != known.end() && found->second->SerializeAsString() == service.SerializeAsString();
    if (!same) delta.changed.push_back(service);
    if (found != known.end()) known.erase(found);
  }
  for (const v1::Service& service : before)
    if (known.contains(service.name())) delta.removed.push_back(service.name());
  return delta;
}

v1::ApplyServicesRequest MakeDeltaRequest(const ServicesDelta& delta, uint64_t generation,
                                          uint64_t base_generation) {
  v1::ApplyServicesRequest request;
  request.set_generation(generation);
  request.set_base_generation(base_generation);
  request.mutable_services()->Add(delta.changed.begin(), delta.changed.end());
  request.mutable_removed()->Add(delta.removed.begin(), delta.removed.end());
  return request;
}

v1::ApplyServicesRequest MakeReplaceRequest(const ResolvedServices& services, uint64_t generation) {
  v1::ApplyServicesRequest request;
  request.set_generation(generation);
  request.set_replace(true);
  request.mutable_services()->Add(services.begin(), services.end());
  return request;
}

uint64_t ServicesFingerprint(const ResolvedServices& services) {
  uint64_t sum = 0;
  for (const v1::Service& service : services) sum += proto::Fingerprint(service);
  return sum;
}

}  // namespace steelyard::controlplane
