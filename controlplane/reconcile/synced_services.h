// SPDX-License-Identifier: Apache-2.0
//
// The services and outbound gateways as they are wanted and as the dataplane is believed to have
// them, each with its generation. The counterpart of SyncedSet for the one kind that has
// generations and whose changes come as whole states. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "controlplane/state/delta.h"

namespace steelyard::controlplane {

class SyncedServices {
 public:
  void Want(uint64_t generation, std::shared_ptr<const ResolvedServices> services);
  // False before the first Want().
  bool wanted() const { return wanted_.has_value(); }
  uint64_t wanted_generation() const { return wanted_ ? wanted_->generation : 0; }
  uint64_t applied_generation() const { return applied_ ? applied_->generation : 0; }
  bool in_flight() const { return flight_.has_value(); }
  bool settled() const;

  // What is to be sent now: a delta, or everything when it is not known what is there. Only when
  // wanted and neither settled nor in flight.
  v1::ApplyServicesRequest Take();
  void Acknowledge();  // the dataplane has done it
  void Abandon() { flight_.reset(); }
  void Forget() { applied_.reset(); }

  enum class Match { kWanted, kApplied, kNeither };
  Match Compare(uint64_t generation, uint64_t fingerprint) const;
  void MarkInSync() { applied_ = wanted_; }

 private:
  struct Version {
    uint64_t generation;
    uint64_t fingerprint;
    std::shared_ptr<const ResolvedServices> services;
    bool IsThe(uint64_t other_generation, uint64_t other_fingerprint) const {
      return generation == other_generation && fingerprint == other_fingerprint;
    }
  };
  std::optional<Version> wanted_;
  std::optional<Version> applied_;
  std::optional<Version> flight_;
};

}  // namespace steelyard::controlplane
