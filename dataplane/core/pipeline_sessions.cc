// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/persistence.h"
#include "core/pipeline.h"
#include "core/pipeline_steps.h"
#include "core/scheduler/availability.h"

namespace steelyard::core {

using net::L4Protocol;
using net::ParsedPacket;
using net::Verdict;

namespace {

Verdict CanOpen(const Service& service, const ParsedPacket& parsed) {
  const bool opens =
      service.protocol != L4Protocol::kTcp || EventOf(parsed.tcp_flags) == TcpEvent::kSyn;
  return opens ? Verdict::kForwarded : Verdict::kNoSession;
}

bool AnyAvailable(const Service& service) {
  return std::any_of(service.backends.begin(), service.backends.end(),
                     [](const Backend& backend) { return backend.available; });
}

}  // namespace

Pipeline::Choice Pipeline::ChooseBackend(const Service& service, const net::FlowKey& key,
                                         uint32_t& cursor) const {
  if (!HasRoom(worker_.services[service.slot].sessions_active(), service.max_sessions,
               worker_.service_shares[service.slot]))
    return {nullptr, Verdict::kSessionLimit};
  const SchedulingContext context{key, service.backends, worker_.backends, worker_.backend_shares,
                                  cursor};
  SessionId remembered = kNoSession;
  if (service.persistence.enabled) {
    remembered = FindRemembered(sessions_, service, key);
    if (const Backend* backend = BackendOf(context, remembered))
      return {backend, Verdict::kForwarded, remembered};
  }
  const uint32_t chosen = service.scheduler->Choose(context);
  if (chosen != kNoBackend) return {&service.backends[chosen], Verdict::kForwarded, remembered};
  return {nullptr, AnyAvailable(service) ? Verdict::kSessionLimit : Verdict::kNoBackend};
}

// Of a client that is remembered; null when it takes no new sessions.
const Backend* Pipeline::BackendOf(const SchedulingContext& context, SessionId remembered) const {
  if (remembered == kNoSession) return nullptr;
  const BackendSlot slot = sessions_.state(RefOf(remembered, Direction::kForward)).backend_slot;
  for (uint32_t i = 0; i < context.backends.size(); ++i)
    if (context.backends[i].slot == slot)
      return TakesSessions(context, i) ? &context.backends[i] : nullptr;
  return nullptr;
}

Pipeline::Opened Pipeline::Open(const PacketContext& context, const Service* service,
                                const net::Packet& packet, const ParsedPacket& parsed) {
  const net::FlowKey key = parsed.key();
  if (service == nullptr) return OpenOutbound(context, packet, parsed);
  const bool needs_no_session = service->mode->is_one_way();
  if (needs_no_session && GoesOnStateless(context, *service, parsed)) return {.stateless = service};
  if (const Verdict verdict = CanOpen(*service, parsed); verdict != Verdict::kForwarded)
    return {kNoFlow, verdict};
  if (!service->mode->keeps_ttl() && TtlRunsOut(parsed, packet))
    return {kNoFlow, Verdict::kTtlExceeded};
  const Choice choice = ChooseBackend(*service, key, worker_.scheduler_cursors[service->slot]);
  if (choice.backend == nullptr) {
    if (choice.verdict == Verdict::kSessionLimit)
      worker_.services[service->slot].session_limit_packets.Add(1);
    return {kNoFlow, choice.verdict};
  }
  const Backend& backend = *choice.backend;
  const auto outcome = service->mode->Open(context, *service, backend, packet, parsed);
  if (const Verdict* refusal = std::get_if<Verdict>(&outcome)) {
    if (needs_no_session && *refusal == Verdict::kSessionTableFull) return {.stateless = service};
    return {kNoFlow, *refusal};
  }
  const SessionId session = *std::get_if<SessionId>(&outcome);
  Register(context, session, *service, backend, key.protocol);
  if (service->persistence.enabled)
    Remember(context, *service, backend, key, session, choice.remembered);
  sessions_.Complete(session);
  return {RefOf(session, Direction::kForward), Verdict::kForwarded};
}

void Pipeline::Register(const PacketContext& context, SessionId session, const Service& service,
                        const Backend& backend, L4Protocol protocol) {
  SessionRecord& record = sessions_.record(session);
  record.service_slot = service.slot;
  record.created_ms = context.now_ms;
  record.home_bucket = static_cast<uint8_t>(context.home_bucket);
  for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
    FlowState& state = sessions_.state(RefOf(session, direction));
    state.backend_slot = backend.slot;
    state.forwarding_mode = service.mode->index();
    state.last_seen_ms = context.now_ms;
    state.tcp_state = protocol == L4Protocol::kTcp ? TcpState::kSynSent : TcpState::kNone;
    if (record.kind == SessionKind::kOneWay) state.flags |= kFlowOneWay;
    if (service.mode->keeps_ttl()) state.flags |= kFlowKeepsTtl;
  }
  sessions_.timers().Arm(session, DeadlineMs(context.snapshot, session));
  CountCreated(record.kind, service.slot, backend.slot, worker_);
}

void Pipeline::EndSession(SessionId session, uint32_t now_ms) {
  const SessionRecord& record = sessions_.record(session);
  if (record.parent_template != 0) {
    const SessionId parent = record.parent_template - 1;
    FlowState& of_parent = sessions_.state(RefOf(parent, Direction::kForward));
    of_parent.last_seen_ms = now_ms;
    of_parent.packets += BothSidesSpoke(session);
    if (--sessions_.record(parent).child_count == 0) sessions_.timers().Move(parent, now_ms);
  }
  const FlowState& state = sessions_.state(RefOf(session, Direction::kForward));
  CountEnded(record.kind, record.service_slot, state.backend_slot, worker_);
  sessions_.timers().Disarm(session);
  sessions_.Remove(session);
}

// The client after the backend, so that it has its address and not made it up. Of a one-way session
// only one side is seen.
bool Pipeline::BothSidesSpoke(SessionId session) const {
  const FlowState& forward = sessions_.state(RefOf(session, Direction::kForward));
  const FlowState& reverse = sessions_.state(RefOf(session, Direction::kReverse));
  const bool is_answered =
      reverse.packets != 0 || sessions_.record(session).kind == SessionKind::kOneWay;
  return is_answered && (forward.packets > 1 || forward.tcp_state == TcpState::kNone);
}

uint32_t Pipeline::DeadlineMs(const Snapshot& snapshot, SessionId session) const {
  const FlowState& forward = sessions_.state(RefOf(session, Direction::kForward));
  const FlowState& reverse = sessions_.state(RefOf(session, Direction::kReverse));
  const SessionRecord& record = sessions_.record(session);
  if (record.kind == SessionKind::kRedirect) return forward.last_seen_ms + kRedirectTimeoutMs;
  const bool both_are_seen = record.kind == SessionKind::kTwoWay;
  const uint32_t last_seen_ms =
      both_are_seen && TimeBefore(forward.last_seen_ms, reverse.last_seen_ms)
          ? reverse.last_seen_ms
          : forward.last_seen_ms;
  const Service* service = snapshot.service(record.service_slot);
  if (record.kind == SessionKind::kTemplate) {
    const bool lingers = service && (!service->persistence.enabled || forward.packets != 0);
    return last_seen_ms + (lingers ? service->template_timeout_ms : 0);
  }
  if (service && net::IsIcmp(forward.protocol)) return last_seen_ms + service->icmp_timeout_ms;
  const Timeouts& timeouts_ms = service ? service->timeouts_ms : kDefaultTimeoutsMs;
  return last_seen_ms + timeouts_ms[static_cast<size_t>(forward.tcp_state)];
}

namespace {
// Until it is looked at again without need.
constexpr uint32_t kTemplateInUseMs = 600'000;
}  // namespace

void Pipeline::Expire(const Snapshot& snapshot, uint64_t now_ns, uint32_t budget) {
  const uint32_t now_ms = Milliseconds(now_ns);
  // Their services' timeouts are not known yet.
  if (snapshot.awaits_configuration) return;
  sessions_.timers().Advance(now_ms, budget, [&](SessionId session) {
    // The end of its last child has a template looked at.
    const bool has_children = sessions_.record(session).child_count != 0;
    const uint32_t deadline_ms =
        has_children ? now_ms + kTemplateInUseMs : DeadlineMs(snapshot, session);
    sessions_.timers().Arm(session, deadline_ms);
    if (!TimeBefore(now_ms, deadline_ms)) EndSession(session, now_ms);
  });
  if (worker_.reassembler != nullptr)
    worker_.counters.reassembly_timeouts.Add(worker_.reassembler->Expire(now_ns, budget));
}

Pipeline::Preview Pipeline::Look(const Snapshot& snapshot, const net::FlowKey& key,
                                 uint64_t now_ns) const {
  Preview preview;
  preview.service = snapshot.FindService(key.destination, key.protocol);
  preview.flow = sessions_.Find(key);
  if (preview.flow != kNoFlow) {
    if (preview.service == nullptr)
      preview.service = snapshot.service(sessions_.record(SessionOf(preview.flow)).service_slot);
    preview.verdict = Verdict::kForwarded;
    return preview;
  }
  if (preview.service == nullptr) {
    const Outbound outbound = ChooseOutbound(snapshot, key);
    preview.service = outbound.gateway;
    if (outbound.gateway != nullptr) preview.verdict = outbound.verdict;
    return preview;
  }
  const Service& service = *preview.service;
  const bool needs_no_session = service.mode->is_one_way();
  uint32_t cursor = worker_.scheduler_cursors[service.slot];
  uint64_t bucket = worker_.new_session_buckets[service.slot];
  Choice choice = ChooseBackend(service, key, cursor);
  const bool is_refused =
      choice.backend != nullptr && !sessions_.HasRoomFor(key.destination.address.family(),
                                                         choice.backend->endpoint.address.family());
  preview.is_stateless =
      needs_no_session && (is_refused || !TakeNewSessionToken(service, bucket, now_ns));
  if (preview.is_stateless)
    choice = ChooseStateless(service, key);
  else if (is_refused)
    choice = {nullptr, Verdict::kSessionTableFull};
  preview.backend = choice.backend;
  preview.verdict = choice.verdict;
  return preview;
}

}  // namespace steelyard::core
