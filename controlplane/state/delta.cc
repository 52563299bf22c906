// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/delta.h"

#include <string_view>
#include <unordered_map>

#include "proto/fingerprint.h"

namespace steelyard::controlplane {

ServicesDelta MakeDelta(const ResolvedServices& before, const ResolvedServices& after) {
  std::unordered_map<std::string_view, const v1::Service*> known;
  for (const v1::Service& service : before.services) known.emplace(service.name(), &service);

  ServicesDelta delta;
  for (const v1::Service& service : after.services) {
    const auto found = known.find(service.name());
    // Services hold no maps, so equal ones have equal bytes.
    const bool same =
        found != known.end() && found->second->SerializeAsString() == service.SerializeAsString();
    if (!same) delta.changed.push_back(service);
    if (found != known.end()) known.erase(found);
  }
  for (const v1::Service& service : before.services)
    if (known.contains(service.name())) delta.removed.push_back(service.name());
  delta.outbound_gateways = after.outbound_gateways;
  return delta;
}

v1::ApplyServicesRequest MakeDeltaRequest(const ServicesDelta& delta, uint64_t generation,
                                          uint64_t base_generation) {
  v1::ApplyServicesRequest request;
  request.set_generation(generation);
  request.set_base_generation(base_generation);
  request.mutable_services()->Add(delta.changed.begin(), delta.changed.end());
  request.mutable_removed()->Add(delta.removed.begin(), delta.removed.end());
  request.mutable_outbound_gateways()->Add(delta.outbound_gateways.begin(),
                                           delta.outbound_gateways.end());
  return request;
}

v1::ApplyServicesRequest MakeReplaceRequest(const ResolvedServices& services, uint64_t generation) {
  v1::ApplyServicesRequest request;
  request.set_generation(generation);
  request.set_replace(true);
  request.mutable_services()->Add(services.services.begin(), services.services.end());
  request.mutable_outbound_gateways()->Add(services.outbound_gateways.begin(),
                                           services.outbound_gateways.end());
  return request;
}

uint64_t ServicesFingerprint(const ResolvedServices& services) {
  uint64_t sum = 0;
  for (const v1::Service& service : services.services) sum += proto::Fingerprint(service);
  uint64_t position = 0;
  for (const v1::OutboundGateway& gateway : services.outbound_gateways)
    sum += proto::FingerprintAt(gateway, position++);
  return sum;
}

}  // namespace steelyard::controlplane
