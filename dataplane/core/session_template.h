// SPDX-License-Identifier: Apache-2.0
//
// Templates: sessions without packets, which remember a choice for sessions to come (IPVS calls
// them so, and keeps its persistence by them). A template lives as long as a session that was
// opened by it, and after the last one for its service's template_timeout_ms. The worker's thread
// only.
#pragma once

#include "core/forward/forwarding_mode.h"

namespace steelyard::core {

// Keys and rewrites as for SessionTable::Insert, protocols made with TemplateProtocol. kNoSession:
// the table is full.
SessionId OpenTemplate(const PacketContext& context, ServiceSlot service_slot,
                       BackendSlot backend_slot, const SessionTable::Flow& forward,
                       const SessionTable::Flow& reverse);

// The session was opened by the template, and keeps it.
void AttachToTemplate(SessionTable& sessions, SessionId session, SessionId session_template);

}  // namespace steelyard::core
