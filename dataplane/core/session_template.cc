// SPDX-License-Identifier: Apache-2.0
#include "core/session_template.h"

namespace steelyard::core {

SessionId OpenTemplate(const PacketContext& context, ServiceSlot service_slot,
                       BackendSlot backend_slot, const SessionTable::Flow& forward,
                       const SessionTable::Flow& reverse) {
  const SessionId opened = context.sessions.Insert(forward, reverse, SessionKind::kTemplate);
  if (opened == kNoSession) return kNoSession;
  SessionRecord& record = context.sessions.record(opened);
  record.service_slot = service_slot;
  record.created_ms = context.now_ms;
  record.home_bucket = static_cast<uint8_t>(context.home_bucket);
  for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
    FlowState& state = context.sessions.state(RefOf(opened, direction));
    state.last_seen_ms = context.now_ms;
    state.backend_slot = backend_slot;
  }
  const Service* service = context.snapshot.service(service_slot);
  context.sessions.timers().Arm(opened,
                                context.now_ms + (service ? service->template_timeout_ms : 0));
  CountCreated(SessionKind::kTemplate, service_slot, backend_slot, context.worker);
  context.sessions.Complete(opened);
  return opened;
}

void AttachToTemplate(SessionTable& sessions, SessionId session, SessionId session_template) {
  sessions.record(session).parent_template = session_template + 1;
  ++sessions.record(session_template).child_count;
}

}  // namespace steelyard::core
