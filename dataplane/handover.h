// SPDX-License-Identifier: Apache-2.0
//
// Handover: a dataplane that takes the place of a running one, for an upgrade or for other options.
// What needs no port it makes ready while the other still forwards; then it asks the other to end,
// opens the ports and adopts the sessions. Main thread only.
#pragma once

#include <chrono>
#include <string>

#include "instance_lock.h"
#include "net/result.h"

namespace steelyard {

// Asks the dataplane that serves `control_socket`, if there is one, to end, with SIGTERM, which one
// of any version understands. Returns when it has let go of its ports and sessions, whose lock is
// then ours. Errors: it may not be asked, or is still there when `patience` is over.
net::Result<InstanceLock> TakeOver(const std::string& control_socket,
                                   std::chrono::milliseconds patience);

}  // namespace steelyard
