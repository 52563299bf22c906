// SPDX-License-Identifier: Apache-2.0
//
// What differs between two states, by name and in the words of the YAML file:
//   services[web].backends[192.0.2.1:80].weight: 1 -> 2
// Walks the schema by reflection, so a new field needs no line here. Elements of a list are matched
// by their `name`, or else by their `address` and `port`; lists of plain values are bags. Outbound
// gateways are the one list whose order means something; of no other it is looked at. Any thread.
//
// Laws: diff(a, a) is empty; diff(b, a) is diff(a, b) with added and removed, before and after
// swapped.
#pragma once

#include <vector>

#include "controlplane.pb.h"

namespace steelyard::controlplane {

// When those outbound gateways that both have stand in another order, that is one change, of their
// names:
//   outbound_gateways: office, guests -> guests, office
// Of a scalar that is left out on one side, `before` or `after` is empty and the kind says added or
// removed. Of an element, the whole of it as YAML on one line.
std::vector<v1::Change> Diff(const v1::DesiredState& before, const v1::DesiredState& after);

}  // namespace steelyard::controlplane
