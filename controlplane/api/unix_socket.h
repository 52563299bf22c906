// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "net/result.h"

namespace steelyard::controlplane {

// Makes a path free for a new listener: removes a socket file that nobody listens on any more, and
// makes the directory above it. An error when somebody listens, or when the file is no socket.
net::Status PrepareSocketPath(const std::string& path);

}  // namespace steelyard::controlplane
