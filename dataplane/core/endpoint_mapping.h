// SPDX-License-Identifier: Apache-2.0
//
// Endpoint-independent mappings of UDP (RFC 4787 sections 4.1 and 5): all flows of an inside
// endpoint leave from one outside endpoint, and whatever is sent there comes in. A mapping is a
// template (session_template.h), found from either side; it lives as long as a session that was
// opened by it. The worker's thread only.
#pragma once

#include "core/forward/forwarding_mode.h"

namespace steelyard::core {

// kNoSession: there is none.
SessionId FindMappingOfInside(const SessionTable& sessions, const net::Endpoint& inside);
SessionId FindMappingOfOutside(const SessionTable& sessions, const net::Endpoint& outside);

net::Endpoint InsideOf(const SessionTable& sessions, SessionId mapping);
net::Endpoint OutsideOf(const SessionTable& sessions, SessionId mapping);

// The inside endpoint's mapping; a new one when it has none. kNoSession: `refusal` says why.
SessionId FindOrOpenMapping(const PacketContext& context, const Service& gateway,
                            const net::Endpoint& inside, net::Verdict& refusal);

// A session for the first packet of a flow that comes in by a mapping. kNoSession: no room for it.
SessionId OpenInbound(const PacketContext& context, SessionId mapping, const net::FlowKey& key);

}  // namespace steelyard::core
