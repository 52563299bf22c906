// SPDX-License-Identifier: Apache-2.0
//
// Every check type. To add one: a file that derives from Check (a <name>_check.{h,cc} beside the
// others), a value in HealthCheck.Type of model.proto with whatever settings it needs, and one row
// here. Nothing else in this folder changes.
#pragma once

#include <array>

#include "controlplane/health/check.h"
#include "controlplane/health/http_check.h"
#include "controlplane/health/tcp_check.h"

namespace steelyard::controlplane {

struct CheckType {
  v1::HealthCheck::Type type;
  std::shared_ptr<Check> (*make)(const CheckRequest& request);
};

inline constexpr std::array check_registry = {
    CheckType{v1::HealthCheck::TYPE_TCP, MakeTcpCheck},
    CheckType{v1::HealthCheck::TYPE_HTTP, MakeHttpCheck},
};

// Null for a type that is not in the registry, which config's validation does not let through.
inline const CheckType* FindCheckType(v1::HealthCheck::Type type) {
  for (const CheckType& candidate : check_registry) {
    if (candidate.type == type) return &candidate;
  }
  return nullptr;
}

}  // namespace steelyard::controlplane
