// SPDX-License-Identifier: Apache-2.0
//
// TYPE_TCP: passes when the connection is accepted within the timeout; sends nothing
// but the PROXY header that some backends expect.
#pragma once

#include "controlplane/health/check.h"

namespace steelyard::controlplane {

std::shared_ptr<Check> MakeTcpCheck(const CheckRequest& request);

}  // namespace steelyard::controlplane
