// SPDX-License-Identifier: Apache-2.0
//
// Persistence: a client's new sessions go to the backend that its last ones went to. What is
// remembered is a template (session_template.h) under the client's prefix and the service's address
// and protocol; it lives while a session lives that it chose for, and the service's
// template_timeout_ms longer. A backend that takes no new sessions (draining, weight 0, down,
// standing by, at its limit) is not chosen for being remembered: one is scheduled anew, and
// remembered instead.
//
// A client of whose sessions none was answered is forgotten with them: a flood from made-up
// addresses must not fill the table for as long as real clients are remembered. (The template's
// `packets` counts those that were.)
//
// Every worker remembers for the flows that it owns: with several, a client may meet as many
// backends. The worker's thread only.
#pragma once

#include "core/forward/forwarding_mode.h"

namespace steelyard::core {

// The template of the flow's client at the service, or kNoSession.
SessionId FindRemembered(const SessionTable& sessions, const Service& service,
                         const net::FlowKey& client_flow);

// The session was opened for that client to that backend. `remembered` is what FindRemembered gave;
// where it gave none and the table is full, nothing is remembered, and that is counted.
void Remember(const PacketContext& context, const Service& service, const Backend& backend,
              const net::FlowKey& client_flow, SessionId session, SessionId remembered);

}  // namespace steelyard::core
