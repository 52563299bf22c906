// SPDX-License-Identifier: Apache-2.0
//
// When a closing TCP session may be forgotten: once the last FIN has arrived. Its sender repeats a
// lost one at intervals that grow beyond TcpState::kTimeWait's timeout (RFC 6298 section 5), and a
// session that had ended in between would answer with a reset what the other side never got.
// Called by the owner of the session, with packets as they came in, before they are rewritten.
//
// Where neither side's FIN acknowledged the other's (RFC 9293 figure 13), both would have to be
// awaited; such a session stays in kLastAck for its timeout.
#pragma once

#include "core/session_table.h"
#include "net/packet.h"
#include "net/parser.h"

namespace steelyard::core {

// Of the first segment with FIN of each side.
void NoteFin(SessionTable& sessions, FlowRef flow, const net::ParsedPacket& parsed,
             const net::Packet& packet);

bool AcknowledgesLastFin(const SessionTable& sessions, FlowRef flow,
                         const net::ParsedPacket& parsed, const net::Packet& packet);

}  // namespace steelyard::core
