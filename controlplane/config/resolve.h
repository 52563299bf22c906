// SPDX-License-Identifier: Apache-2.0
//
// From what was declared to what the dataplane is told: every default filled in (bounds.h), the
// box-wide local addresses given to each service without its own, addresses and a gateway's
// prefixes in their canonical text. Pure, any thread. Total: what is wrong with a state
// (validate.h) passes through as it is.
//
// Laws: resolving twice is resolving once; two spellings of one state resolve to equal services.
#pragma once

#include <vector>

#include "model.pb.h"

namespace steelyard::controlplane {

struct ResolvedServices {
  std::vector<v1::Service> services;
  std::vector<v1::OutboundGateway> outbound_gateways;  // in their order
};

v1::Service ResolveService(const v1::DesiredState& state, const v1::Service& service);
v1::OutboundGateway ResolveOutboundGateway(const v1::OutboundGateway& gateway);
ResolvedServices ResolveServices(const v1::DesiredState& state);

}  // namespace steelyard::controlplane
