// SPDX-License-Identifier: Apache-2.0
//
// services.yaml, the declared state, as a DesiredState. Reading only: what the values mean together
// is validate.h's, what is left out is filled in by resolve.h. One thread.
#pragma once

#include <string>

#include "controlplane/config/source_map.h"
#include "controlplane/config/validate.h"
#include "controlplane/config/yaml_reader.h"
#include "model.pb.h"

namespace steelyard::controlplane {

// As far as the file could be read. With faults, `state` is not the file's and must not be applied.
struct DeclaredState : Reading {
  v1::DesiredState state;
  bool ok() const { return faults.empty(); }
};

DeclaredState ParseDeclaredState(const std::string& yaml);
DeclaredState ReadDeclaredState(const std::string& path);

// Adds what validation finds, each at its place in the file, so that a file's faults of every sort
// come out at once. Where a value could not be read nothing more is said about it.
void ValidateDeclaredState(DeclaredState& declared, const OnBox& on_box = {});

}  // namespace steelyard::controlplane
