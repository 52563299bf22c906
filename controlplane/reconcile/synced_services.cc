// SPDX-License-Identifier: Apache-2.0
#include "controlplane/reconcile/synced_services.h"

#include <utility>

namespace steelyard::controlplane {

void SyncedServices::Want(uint64_t generation, std::shared_ptr<const ResolvedServices> services) {
  const uint64_t fingerprint = ServicesFingerprint(*services);
  wanted_ = Version{generation, fingerprint, std::move(services)};
}

bool SyncedServices::settled() const {
  return wanted_ && applied_ && !flight_ &&
         applied_->IsThe(wanted_->generation, wanted_->fingerprint);
}

v1::ApplyServicesRequest SyncedServices::Take() {
  flight_ = wanted_;
  if (!applied_) return MakeReplaceRequest(*wanted_->services, wanted_->generation);
  return MakeDeltaRequest(MakeDelta(*applied_->services, *wanted_->services), wanted_->generation,
                          applied_->generation);
}

void SyncedServices::Acknowledge() {
  applied_ = std::move(flight_);
  flight_.reset();
}

SyncedServices::Match SyncedServices::Compare(uint64_t generation, uint64_t fingerprint) const {
  if (wanted_ && wanted_->IsThe(generation, fingerprint)) return Match::kWanted;
  if (applied_ && applied_->IsThe(generation, fingerprint)) return Match::kApplied;
  return Match::kNeither;
}

}  // namespace steelyard::controlplane
