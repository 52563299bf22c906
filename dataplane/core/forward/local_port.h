// SPDX-License-Identifier: Apache-2.0
//
// Choice of the local address and port that a session borrows. Any port from 1024 up is as good as
// another, and the session table itself is the proof that one is free towards a backend: there is
// no allocator to keep in step, and the whole range can be used at once towards every backend.
#pragma once

#include <optional>

#include "core/forward/forwarding_mode.h"

namespace steelyard::core {

inline constexpr uint16_t kFirstLocalPort = 1024;

// An address of `local_addresses` and a port, such that no session has backend → local as a key.
// Nothing: none found within a bounded search, from a random start, of every address.
std::optional<net::Endpoint> ChooseLocalEndpoint(const PacketContext& context,
                                                 std::span<const net::IpAddress> local_addresses,
                                                 const net::Endpoint& backend,
                                                 net::L4Protocol protocol);

}  // namespace steelyard::core
