// SPDX-License-Identifier: Apache-2.0
//
// What must hold of a desired state before it counts, wherever it came from (file or API). Every
// violation is reported, each with the path of the value at fault; an empty list accepts the state.
// Pure, any thread; the caller owns what it passes.
//
// To add a rule: one Check… function in validate.cc and its row in the test's table of bad states.
#pragma once

#include <functional>
#include <vector>

#include "controlplane.pb.h"
#include "net/address.h"

namespace steelyard::controlplane {

// Whether an address is configured on the box. Absent: not checked (the CLI does not know the box).
using OnBox = std::function<bool(const net::IpAddress&)>;

std::vector<v1::Violation> Validate(const v1::DesiredState& state, const OnBox& on_box = nullptr);

}  // namespace steelyard::controlplane
