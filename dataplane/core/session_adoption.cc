// SPDX-License-Identifier: Apache-2.0
#include "core/session_adoption.h"

#include <algorithm>
#include <unordered_map>

#include "core/forward/forwarding_mode.h"

namespace steelyard::core {

using net::FlowKey;
using net::L4Protocol;

namespace {

constexpr Direction kDirections[] = {Direction::kForward, Direction::kReverse};

// --- what an earlier process left --------------------------------------------------------------

bool IsKnown(const std::vector<bool>& known, uint32_t slot) {
  return slot < known.size() && known[slot];
}

bool IsFlowProtocol(L4Protocol protocol) {
  return protocol == L4Protocol::kTcp || protocol == L4Protocol::kUdp || net::IsIcmp(protocol);
}

class Judge {
 public:
  Judge(SessionTable& table, const KnownSlots& known, uint32_t redirect_targets, uint32_t now_ms)
      : table_(table), known_(known), redirect_targets_(redirect_targets), now_ms_(now_ms) {}

  // Makes what it accepts fit for this process.
  bool Accepts(SessionId session) {
    SessionRecord& record = table_.record(session);
    if (record.kind == SessionKind::kRedirect && redirect_targets_ == 0) {
      ++unwanted_;
      return false;
    }
    if (!IsPossible(session)) return false;
    if (TimeBefore(now_ms_, record.created_ms)) record.created_ms = now_ms_;
    const bool may_have_parent =
        record.kind == SessionKind::kTwoWay || record.kind == SessionKind::kOneWay;
    if (!may_have_parent || record.parent_template > table_.capacity().total())
      record.parent_template = 0;
    FlowState& forward = table_.state(RefOf(session, Direction::kForward));
    FlowState& reverse = table_.state(RefOf(session, Direction::kReverse));
    // States only ever grow; killed between the two stores, the later one counts.
    forward.tcp_state = reverse.tcp_state = std::max(forward.tcp_state, reverse.tcp_state);
    for (FlowState* state : {&forward, &reverse}) {
      state->next_hop_generation = 0;  // under which none was looked up in this process
      if (TimeBefore(now_ms_, state->last_seen_ms)) state->last_seen_ms = now_ms_;
    }
    return true;
  }

  uint32_t unwanted() const { return unwanted_; }

 private:
  bool IsPossible(SessionId session) const {
    const SessionRecord& record = table_.record(session);
    const FlowState& forward = table_.state(RefOf(session, Direction::kForward));
    const FlowState& reverse = table_.state(RefOf(session, Direction::kReverse));
    if (static_cast<size_t>(record.kind) >= kSessionKindCount ||
        record.home_bucket >= kSteeringBuckets)
      return false;
    if (forward.protocol != reverse.protocol) return false;
    for (const Direction direction : kDirections)
      if (!HasFamiliesOfPool(RefOf(session, direction))) return false;
    if (record.kind == SessionKind::kRedirect)
      return IsRedirect(forward) && RedirectTarget(forward) < redirect_targets_ &&
             IsFlowProtocol(forward.protocol);
    return IsKnown(known_.services, record.service_slot) && IsPossible(record.kind, forward) &&
           IsPossible(record.kind, reverse);
  }

  bool HasFamiliesOfPool(FlowRef flow) const {
    constexpr uint8_t kBothIpv4 = kFlowKeyIsIpv4 | kFlowRewriteIsIpv4;
    const bool is_wide = (table_.state(flow).flags & kBothIpv4) != kBothIpv4;
    if (is_wide != table_.IsWide(flow)) return false;
    if (!is_wide) return true;
    // Of an IPv4 side the mapped form alone.
    const WideFlow& record = table_.wide(flow);
    const SessionTable::Flow described = table_.Describe(flow);
    return described.key.source.address.v6() == record.source &&
           described.key.destination.address.v6() == record.destination &&
           described.rewrite.source.address.v6() == record.new_source &&
           described.rewrite.destination.address.v6() == record.new_destination;
  }

  bool IsPossible(SessionKind kind, const FlowState& state) const {
    if (!IsKnown(known_.backends, state.backend_slot)) return false;
    if (kind == SessionKind::kTemplate)
      return state.tcp_state == TcpState::kNone &&
             (state.protocol == TemplateProtocol(L4Protocol::kTcp) ||
              state.protocol == TemplateProtocol(L4Protocol::kUdp));
    const bool is_tcp = state.protocol == L4Protocol::kTcp;
    if (!IsFlowProtocol(state.protocol) || (state.tcp_state != TcpState::kNone) != is_tcp ||
        static_cast<size_t>(state.tcp_state) >= kTcpStateCount ||
        state.forwarding_mode >= ForwardingModes().size())
      return false;
    const bool is_one_way = kind == SessionKind::kOneWay;
    return ((state.flags & kFlowOneWay) != 0) == is_one_way &&
           ForwardingModes()[state.forwarding_mode]->is_one_way() == is_one_way;
  }

  SessionTable& table_;
  const KnownSlots& known_;
  const uint32_t redirect_targets_;
  const uint32_t now_ms_;
  uint32_t unwanted_ = 0;  // not accepted, and nothing is lost by it
};

template <typename Visit>
void VisitAll(const SessionTable& table, Visit&& visit) {
  const uint32_t end = table.capacity().total();
  for (SessionId session = 0; (session = table.FirstInUse(session, end)) < end; ++session)
    visit(session);
}

// kNoSession: none that is there.
SessionId TemplateOf(const SessionTable& table, SessionId session) {
  const uint32_t parent = table.record(session).parent_template;
  if (parent == 0) return kNoSession;
  const SessionRecord& record = table.record(parent - 1);
  return record.in_use() && record.kind == SessionKind::kTemplate ? parent - 1 : kNoSession;
}

// --- moving ------------------------------------------------------------------------------------

class Mover {
 public:
  Mover(SessionTable& source, std::span<SessionTable* const> tables, const Steering& steering)
      : source_(source), tables_(tables), steering_(steering) {}

  // A template stays where it was until its children are gone from there: cut off in between, they
  // still have it.
  AdoptionReport Run() {
    VisitAll(source_, [&](SessionId session) {
      if (KindOf(session) == SessionKind::kTemplate) CopyTemplate(session);
    });
    VisitAll(source_, [&](SessionId session) {
      if (KindOf(session) != SessionKind::kTemplate && KindOf(session) != SessionKind::kRedirect)
        MoveSession(session);
    });
    for (const auto& [session, copy] : copies_) source_.Remove(session);
    return report_;
  }

 private:
  struct Place {
    SessionTable* table;
    SessionId session;  // kNoSession: refused
  };

  SessionKind KindOf(SessionId session) const { return source_.record(session).kind; }

  SessionTable* HomeOf(SessionId session) const {
    return tables_[steering_.OwnerOf(source_.record(session).home_bucket)];
  }

  void CopyTemplate(SessionId session) {
    SessionTable* const home = HomeOf(session);
    if (home == &source_) return;
    const FlowKey key = source_.KeyOf(RefOf(session, Direction::kForward));
    const FlowRef there = home->Find(key);
    // Copied by an adoption that was cut off, or two workers remembered the same.
    if (there != kNoFlow)
      copies_[session] = {home, SessionOf(there)};
    else
      copies_[session] = {home, CopyTo(*home, session, 0)};
  }

  void MoveSession(SessionId session) {
    SessionTable* const home = HomeOf(session);
    const auto copy = copies_.find(TemplateOf(source_, session));
    const bool parent_moves = copy != copies_.end();
    if (home == &source_) {
      if (parent_moves) source_.record(session).parent_template = 0;
      return;
    }
    const bool goes_with_parent =
        parent_moves && copy->second.table == home && copy->second.session != kNoSession;
    CopyTo(*home, session, goes_with_parent ? copy->second.session + 1 : 0);
    source_.Remove(session);
  }

  SessionId CopyTo(SessionTable& table, SessionId session, uint32_t parent_template) {
    const SessionTable::Flow forward = source_.Describe(RefOf(session, Direction::kForward));
    const SessionTable::Flow reverse = source_.Describe(RefOf(session, Direction::kReverse));
    const SessionKind kind = KindOf(session);
    const bool is_there = table.Find(forward.key) != kNoFlow ||
                          (IsFoundByReverseKey(kind) && table.Find(reverse.key) != kNoFlow);
    const SessionId copy = is_there ? kNoSession : table.Insert(forward, reverse, kind);
    if (copy == kNoSession) {
      ++report_.unplaced;
      return kNoSession;
    }
    for (const Direction direction : kDirections)
      table.state(RefOf(copy, direction)) = source_.state(RefOf(session, direction));
    SessionRecord record = source_.record(session);
    record.stage = SessionStage::kOpening;
    record.parent_template = parent_template;
    table.record(copy) = record;
    table.Complete(copy);
    ++report_.moved;
    return copy;
  }

  SessionTable& source_;
  const std::span<SessionTable* const> tables_;
  const Steering& steering_;
  std::unordered_map<SessionId, Place> copies_;  // of templates
  AdoptionReport report_;
};

void LeaveRedirect(SessionTable& table, const FlowKey& key, uint32_t target, uint32_t now_ms) {
  if (table.Find(key) != kNoFlow) return;
  const FlowKey back = key.Reversed();
  const SessionId session = table.Insert({key, key}, {back, back}, SessionKind::kRedirect);
  if (session == kNoSession) return;
  table.record(session).created_ms = now_ms;
  FlowState& state = table.state(RefOf(session, Direction::kForward));
  state.backend_slot = target;
  state.forwarding_mode = kRedirectMode;
  state.last_seen_ms = now_ms;
  table.Complete(session);
}

}  // namespace

void AdoptionReport::Add(const AdoptionReport& other) {
  sessions += other.sessions;
  templates += other.templates;
  incomplete += other.incomplete;
  refused += other.refused;
  unplaced += other.unplaced;
  moved += other.moved;
}

AdoptionReport AdoptInPlace(SessionTable& table, const KnownSlots& known, uint32_t redirect_targets,
                            uint32_t now_ms) {
  Judge judge(table, known, redirect_targets, now_ms);
  const SessionTable::Rebuilt rebuilt =
      table.Rebuild([&](SessionId session) { return judge.Accepts(session); });
  return {.incomplete = rebuilt.incomplete,
          .refused = rebuilt.refused - judge.unwanted(),
          .unplaced = rebuilt.unplaced};
}

AdoptionReport MoveHome(SessionTable& source, std::span<SessionTable* const> tables,
                        const Steering& steering) {
  return Mover(source, tables, steering).Run();
}

void LeaveRedirects(std::span<SessionTable* const> tables, const Steering& steering,
                    uint32_t now_ms) {
  for (uint32_t home = 0; home < tables.size(); ++home)
    VisitAll(*tables[home], [&](SessionId session) {
      if (tables[home]->record(session).kind != SessionKind::kTwoWay) return;
      const FlowRef reverse = RefOf(session, Direction::kReverse);
      // A gateway's replies are led by configuration anyway (core/home.h).
      if (ForwardingModes()[tables[home]->state(reverse).forwarding_mode]->is_gateway()) return;
      const FlowKey key = tables[home]->KeyOf(reverse);
      const uint32_t owner = steering.OwnerOf(steering.BucketOf(key));
      if (owner != home) LeaveRedirect(*tables[owner], key, home, now_ms);
    });
}

AdoptionReport FinishAdoption(SessionTable& table, WorkerState& worker, uint32_t now_ms,
                              uint32_t first_looks_ms) {
  AdoptionReport report;
  table.timers().Start(now_ms);
  uint64_t number = 0;
  VisitAll(table, [&](SessionId session) {
    SessionRecord& record = table.record(session);
    const SessionId parent = TemplateOf(table, session);
    if (parent != kNoSession) ++table.record(parent).child_count;
    record.parent_template = parent == kNoSession ? 0 : parent + 1;
    const BackendSlot backend = table.state(RefOf(session, Direction::kForward)).backend_slot;
    CountCreated(record.kind, record.service_slot, backend, worker);
    if (record.kind == SessionKind::kTemplate) ++report.templates;
    if (record.kind == SessionKind::kTwoWay || record.kind == SessionKind::kOneWay)
      ++report.sessions;
    const auto until_look_ms = static_cast<uint32_t>(number++ * first_looks_ms / table.size());
    table.timers().Arm(session, now_ms + until_look_ms);
  });
  return report;
}

}  // namespace steelyard::core
