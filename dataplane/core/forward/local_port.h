// SPDX-License-Identifier: Apache-2.0
//
// Choice of the local address and port that a session borrows: any from 1024 up by which the
// reply's steering hash leads to this worker. The session table itself is the proof that one is
// free towards a remote endpoint: only the worker that a tuple leads to ever gives it out, so there
// is no allocator to keep in step, no range that is a worker's, and every port can be used at once
// towards every remote endpoint. The worker's thread only.
//
// Of the ports that lead here, those come first that lead into the very bucket of the session's
// home: such a session has both its flows at one worker whatever the number of workers will be
// after a restart.
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
  // The owner of replies follows from the flow of the chosen endpoint to this one (core/home.h);
  // none: from the reply itself.
  std::optional<net::Endpoint> steered_as_flow_to = std::nullopt;
};

// An address of `local_addresses` and a port, such that no session has remote → local as a key.
// Nothing: none found within so many probes, whatever the number of addresses; and that is
// remembered, so that for a while the next refusals towards that remote endpoint cost no search.
// Counts into `service`'s counters.
std::optional<net::Endpoint> ChooseLocalEndpoint(const PacketContext& context,
                                                 const Service& service,
                                                 const LocalPortSearch& search);

}  // namespace steelyard::core
