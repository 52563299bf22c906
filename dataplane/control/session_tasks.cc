// SPDX-License-Identifier: Apache-2.0
#include "control/session_tasks.h"

#include <algorithm>

namespace steelyard::control {
namespace {

SessionView View(const core::Pipeline& pipeline, const core::Snapshot& snapshot,
                 core::SessionId session, uint64_t now_ns) {
  const core::SessionTable& sessions = pipeline.sessions();
  const core::FlowRef forward = core::RefOf(session, core::Direction::kForward);
  const core::FlowRef reverse = core::RefOf(session, core::Direction::kReverse);
  const core::SessionRecord& record = sessions.record(session);
  const auto now_ms = static_cast<uint32_t>(now_ns / 1'000'000);
  SessionView view{sessions.Describe(forward), sessions.state(forward), sessions.state(reverse),
                   record.service_slot};
  view.idle_ms =
      std::min(now_ms - view.to_backend.last_seen_ms, now_ms - view.to_client.last_seen_ms);
  view.age_ms = now_ms - record.created_ms;
  const uint32_t deadline_ms = pipeline.DeadlineMs(snapshot, session);
  view.expires_in_ms = core::TimeBefore(now_ms, deadline_ms) ? deadline_ms - now_ms : 0;
  return view;
}

}  // namespace

bool SessionSelection::Accepts(const SessionView& session) const {
  const net::FlowKey& client_flow = session.forward.key;
  return (!service_slot || *service_slot == session.service_slot) &&
         (!client || client->Contains(client_flow.source.address)) &&
         (!backend || *backend == session.forward.rewrite.destination.address) &&
         (!protocol || *protocol == client_flow.protocol ||
          (net::IsIcmp(*protocol) && net::IsIcmp(client_flow.protocol)));
}

// Written once here, so that the worker has no page to wait for.
ListSessionsTask::ListSessionsTask(const SessionSelection& selection, size_t capacity)
    : selection_(selection), found_(capacity) {}

void ListSessionsTask::Prepare(const core::Snapshot& snapshot) {
  snapshot_ = &snapshot;
  found_.clear();
}

bool ListSessionsTask::Step(core::Pipeline& pipeline, uint64_t now_ns) {
  const uint32_t end = pipeline.sessions().capacity().total();
  for (uint32_t looked_at = 0; looked_at < kSessionsPerStep; ++looked_at) {
    next_ = pipeline.sessions().FirstInUse(next_, kSessionsPerStep);
    if (next_ >= end) {
      at_end_ = true;
      return true;
    }
    if (!pipeline.sessions().record(next_).in_use()) return false;
    const core::SessionKind kind = pipeline.sessions().record(next_).kind;
    if (kind == core::SessionKind::kTemplate || kind == core::SessionKind::kRedirect) {
      ++next_;
      continue;
    }
    const SessionView view = View(pipeline, *snapshot_, next_, now_ns);
    ++next_;
    if (!selection_.Accepts(view)) continue;
    found_.push_back(view);
    if (found_.size() == found_.capacity()) return true;
  }
  return false;
}

bool LookupTask::Step(core::Pipeline& pipeline, uint64_t now_ns) {
  preview = pipeline.Look(snapshot_, key_, now_ns);
  if (preview.flow != core::kNoFlow)
    session = View(pipeline, snapshot_, core::SessionOf(preview.flow), now_ns);
  return true;
}

}  // namespace steelyard::control
