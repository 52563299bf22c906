// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/descriptor.h>

#include "model.pb.h"

namespace steelyard::controlplane {

// What the schema says beside the mode's number; no rules for a number that is none.
inline const v1::ModeRules& RulesOf(v1::ForwardingMode mode) {
  const auto* value = v1::ForwardingMode_descriptor()->FindValueByNumber(mode);
  if (value == nullptr) return v1::ModeRules::default_instance();
  return value->options().GetExtension(v1::mode_rules);
}

}  // namespace steelyard::controlplane
