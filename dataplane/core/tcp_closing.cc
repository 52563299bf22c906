// SPDX-License-Identifier: Apache-2.0
#include "core/tcp_closing.h"

#include "net/wire.h"

namespace steelyard::core {
namespace {

using net::HeaderAt;
using net::Packet;
using net::ParsedPacket;
using net::TcpHeader;

FinSender SenderOf(FlowRef flow) {
  return DirectionOf(flow) == Direction::kForward ? FinSender::kClient : FinSender::kBackend;
}

// In the numbers of the side that is acknowledged: the backend may know the client's by others.
// (Too far by a PROXY header's length in the segment that is the first to acknowledge that.)
uint32_t AcknowledgmentOf(const SessionTable& sessions, FlowRef flow, const ParsedPacket& parsed,
                          const Packet& packet) {
  const uint32_t number = HeaderAt<TcpHeader>(packet, parsed.l4_offset).acknowledgment.value();
  const bool is_forward = DirectionOf(flow) == Direction::kForward;
  return is_forward ? number : number - sessions.state(flow).sequence_delta;
}

bool Acknowledges(const SessionTable& sessions, FlowRef flow, const ParsedPacket& parsed,
                  const Packet& packet) {
  const uint32_t awaited = sessions.record(SessionOf(flow)).fin_acknowledgment;
  const uint32_t number = AcknowledgmentOf(sessions, flow, parsed, packet);
  return (parsed.tcp_flags & net::kTcpAck) && static_cast<int32_t>(number - awaited) >= 0;
}

}  // namespace

void NoteFin(SessionTable& sessions, FlowRef flow, const ParsedPacket& parsed,
             const Packet& packet) {
  SessionRecord& record = sessions.record(SessionOf(flow));
  if (record.fin_sender != FinSender::kNobody && !Acknowledges(sessions, flow, parsed, packet)) {
    record.fin_sender = FinSender::kBothAtOnce;
    return;
  }
  record.fin_sender = SenderOf(flow);
  record.fin_acknowledgment =
      HeaderAt<TcpHeader>(packet, parsed.l4_offset).sequence.value() + parsed.payload_bytes() + 1;
}

bool AcknowledgesLastFin(const SessionTable& sessions, FlowRef flow, const ParsedPacket& parsed,
                         const Packet& packet) {
  const FinSender awaited = SenderOf(OtherDirection(flow));
  return sessions.record(SessionOf(flow)).fin_sender == awaited &&
         Acknowledges(sessions, flow, parsed, packet);
}

}  // namespace steelyard::core
