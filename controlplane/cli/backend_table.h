// SPDX-License-Identifier: Apache-2.0
//
// The backends of services as a table, for every command that shows them.
#pragma once

#include <ostream>

#include "controlplane.pb.h"

namespace steelyard::controlplane::cli {

void PrintBackends(const v1::ListServicesResponse& response, std::ostream& out);

}  // namespace steelyard::controlplane::cli
