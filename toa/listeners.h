// SPDX-License-Identifier: Apache-2.0
//
// Servers that were listening before steelyard-toa came. The kernel keeps a connection's SYN only
// if the listening socket asks for it (TCP_SAVE_SYN); the eBPF program asks when a socket begins to
// listen, and this asks for those that already do. Without it they still learn the client's address
// from the handshake's last segment and from data: only TOA on the SYN alone would be missed.
#pragma once

#include <string>

namespace steelyard::toa {

// Looks through the processes of the cgroup and of those below it. Needs CAP_SYS_PTRACE. Best
// effort: a process or socket that goes away meanwhile, or may not be looked at, is passed over.
// Returns how many listening sockets will keep SYNs because of this call. Any thread.
int SaveSynsOfListeners(const std::string& cgroup_path);

}  // namespace steelyard::toa
