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

// What is asked of the box that the state is for. Absent: not checked (the CLI does not know the
// box).
struct OnBox {
  std::function<bool(const net::IpAddress&)> has_address;
  // Whether an address is on a network that the box is connected to.
  std::function<bool(const net::IpAddress&)> is_connected;
};

std::vector<v1::Violation> Validate(const v1::DesiredState& state, const OnBox& on_box = {});

}  // namespace steelyard::controlplane
