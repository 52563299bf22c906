// SPDX-License-Identifier: Apache-2.0
//
// Choice of the local address and port that a session borrows. Any port from 1024 up is as good as
// another, and the session table itself is the proof that one is free towards a remote endpoint:
// there is no allocator to keep in step, and the whole range can be used at once towards every one.
// The worker's thread only.
#pragma once

#include <optional>
#include <span>

#include "core/forward/forwarding_mode.h"

namespace steelyard::core {

inline constexpr uint16_t kFirstLocalPort = 1024;

// A search of more probes than this counts as long: a sign that nine tenths of the ports are taken.
inline constexpr uint32_t kLongSearchProbes = 16;

struct LocalPortSearch {
  std::span<const net::IpAddress> local_addresses;
  net::Endpoint remote;  // whom the session speaks to from there
  net::L4Protocol protocol;
  // Whose sessions leave from one address as long as that has ports ("paired" pooling, RFC 4787
  // section 4.1); none: every session begins at any.
  std::optional<net::IpAddress> paired_with;
};

// An address of `local_addresses` and a port, such that no session has remote → local as a key.
// Nothing: none found within so many probes, whatever the number of addresses; and that is
// remembered, so that for a while the next refusals towards that remote endpoint cost no search.
// Counts into `service`'s counters.
std::optional<net::Endpoint> ChooseLocalEndpoint(const PacketContext& context,
                                                 const Service& service,
                                                 const LocalPortSearch& search);

}  // namespace steelyard::core
