// SPDX-License-Identifier: Apache-2.0
#include "core/session_adoption.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "packet/box.h"
#include "packet/session_model.h"

namespace steelyard::core {
namespace {

using net::FlowKey;
using net::L4Protocol;
using test::RandomSessions;

constexpr uint32_t kNowMs = 50'000'000;

KnownSlots AllKnown() {
  return {std::vector<bool>(kMaxServices, true), std::vector<bool>(kMaxBackends, true)};
}

// Tables of several workers, in memory that outlives a process that works on it.
class Tables {
 public:
  Tables(uint32_t count, const SessionCapacity& capacity) : capacity_(capacity) {
    while (tables_.size() < count) AddTable();
  }
  // The same memory, as the next process finds it.
  Tables(const Tables& left, uint32_t count) : capacity_(left.capacity_) {
    while (tables_.size() < std::max(count, left.count())) AddTable();
    for (uint32_t i = 0; i < left.count(); ++i) std::memcpy(memory_[i], left.memory_[i], Bytes());
  }
  ~Tables() {
    for (std::byte* const memory : memory_) munmap(memory, Bytes());
  }
  Tables(const Tables&) = delete;
  Tables& operator=(const Tables&) = delete;

  SessionTable& operator[](uint32_t worker) { return *tables_[worker]; }
  uint32_t count() const { return static_cast<uint32_t>(tables_.size()); }
  std::vector<SessionTable*> first(uint32_t count) const {
    std::vector<SessionTable*> tables;
    for (uint32_t i = 0; i < count; ++i) tables.push_back(tables_[i].get());
    return tables;
  }

 private:
  size_t Bytes() const { return SessionTable::RequiredBytes(capacity_); }
  void AddTable() {
    memory_.push_back(static_cast<std::byte*>(
        mmap(nullptr, Bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)));
    tables_.push_back(std::make_unique<SessionTable>(std::span(memory_.back(), Bytes()), capacity_,
                                                     HashSecret{}));
  }

  SessionCapacity capacity_;
  std::vector<std::byte*> memory_;
  std::vector<std::unique_ptr<SessionTable>> tables_;
};

// What is to be there afterwards, in whichever table.
struct Expected {
  FlowKey forward, reverse;
  uint32_t home_bucket;
  std::optional<FlowKey> parent;
};

void FillIn(SessionTable& table, SessionId session, SessionKind kind, uint32_t home_bucket) {
  for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
    FlowState& state = table.state(RefOf(session, direction));
    state.backend_slot = 7;
    state.last_seen_ms = kNowMs - 1000;
    state.packets = 3;
    if (kind == SessionKind::kTwoWay) state.forwarding_mode = FullNat().index();
    if (state.protocol == L4Protocol::kTcp) state.tcp_state = TcpState::kEstablished;
  }
  table.record(session).service_slot = 5;
  table.record(session).created_ms = kNowMs - 2000;
  table.record(session).home_bucket = static_cast<uint8_t>(home_bucket);
}

SessionId AddTemplate(SessionTable& table, FlowKey key, uint32_t home_bucket) {
  key.protocol = TemplateProtocol(key.protocol);
  if (table.Find(key) != kNoFlow || table.Find(key.Reversed()) != kNoFlow) return kNoSession;
  const SessionId session =
      table.Insert({key, key}, {key.Reversed(), key.Reversed()}, SessionKind::kTemplate);
  if (session == kNoSession) return kNoSession;
  FillIn(table, session, SessionKind::kTemplate, home_bucket);
  table.Complete(session);
  return session;
}

// Sessions where their home is among `workers`, every third with a template.
std::vector<Expected> Fill(Tables& tables, uint32_t workers, uint32_t seed, int count) {
  RandomSessions make(seed, 5000);
  const Steering steering(workers);
  std::vector<Expected> expected;
  for (int i = 0; i < count; ++i) {
    const auto [forward, reverse] = make.Make(make.AnyKind());
    FlowKey template_key = forward.key;
    template_key.source.port = {};
    const bool has_parent = i % 3 == 0;
    const uint32_t home_bucket = steering.BucketOf(has_parent ? template_key : forward.key);
    SessionTable& table = tables[steering.OwnerOf(home_bucket)];
    if (table.Find(forward.key) != kNoFlow || table.Find(reverse.key) != kNoFlow) continue;
    SessionId parent = kNoSession;
    if (has_parent) parent = AddTemplate(table, template_key, home_bucket);
    if (has_parent && parent == kNoSession) continue;
    const SessionId session = table.Insert(forward, reverse);
    if (session == kNoSession) continue;
    FillIn(table, session, SessionKind::kTwoWay, home_bucket);
    if (has_parent) table.record(session).parent_template = parent + 1;
    table.Complete(session);
    expected.push_back({forward.key, reverse.key, home_bucket, {}});
    template_key.protocol = TemplateProtocol(template_key.protocol);
    if (has_parent) expected.back().parent = template_key;
  }
  return expected;
}

// The whole of what a process does.
AdoptionReport AdoptAll(Tables& tables, uint32_t workers,
                        std::vector<std::unique_ptr<WorkerState>>* states = nullptr) {
  AdoptionReport report;
  const KnownSlots known = AllKnown();
  const Steering steering(workers);
  for (uint32_t i = 0; i < tables.count(); ++i)
    report.Add(AdoptInPlace(tables[i], known, 0, kNowMs));
  const std::vector<SessionTable*> homes = tables.first(workers);
  for (uint32_t i = 0; i < tables.count(); ++i) report.Add(MoveHome(tables[i], homes, steering));
  LeaveRedirects(homes, steering, kNowMs);
  for (SessionTable* const home : homes) {
    auto state = std::make_unique<WorkerState>(1);
    report.Add(FinishAdoption(*home, *state, kNowMs));
    if (states != nullptr) states->push_back(std::move(state));
  }
  return report;
}

void ExpectHome(Tables& tables, uint32_t workers, const std::vector<Expected>& expected) {
  const Steering steering(workers);
  for (const Expected& session : expected) {
    const uint32_t home = steering.OwnerOf(session.home_bucket);
    SessionTable& table = tables[home];
    const FlowRef flow = table.Find(session.forward);
    ASSERT_NE(flow, kNoFlow);
    EXPECT_EQ(table.Find(session.reverse), OtherDirection(flow));
    EXPECT_EQ(table.state(flow).packets, 3u);
    EXPECT_EQ(table.state(flow).backend_slot, 7u);
    EXPECT_EQ(table.record(SessionOf(flow)).service_slot, 5u);
    if (session.parent) {
      const SessionId parent = SessionOf(table.Find(*session.parent));
      EXPECT_EQ(table.record(SessionOf(flow)).parent_template, parent + 1);
      EXPECT_GE(table.record(parent).child_count, 1u);
    }
    const uint32_t receiver_of_replies = steering.OwnerOf(steering.BucketOf(session.reverse));
    if (receiver_of_replies == home) continue;
    SessionTable& there = tables[receiver_of_replies];
    const FlowRef redirect = there.Find(session.reverse);
    ASSERT_NE(redirect, kNoFlow);
    EXPECT_TRUE(IsRedirect(there.state(redirect)));
    EXPECT_EQ(RedirectTarget(there.state(redirect)), home);
  }
}

uint64_t CountIn(Tables& tables, SessionKind kind) {
  uint64_t count = 0;
  for (uint32_t i = 0; i < tables.count(); ++i)
    for (SessionId session = 0; session < tables[i].capacity().total(); ++session)
      count += tables[i].record(session).in_use() && tables[i].record(session).kind == kind;
  return count;
}

TEST(SessionAdoption, EverySessionIsHomeWhateverTheNumberOfWorkersWasAndIs) {
  for (uint32_t before = 1; before <= 4; ++before)
    for (uint32_t after = 1; after <= 4; ++after) {
      Tables left(before, {4000, 4000});
      const auto expected = Fill(left, before, before * 10 + after, 1500);
      Tables tables(left, after);
      std::vector<std::unique_ptr<WorkerState>> states;
      const AdoptionReport report = AdoptAll(tables, after, &states);
      EXPECT_EQ(report.sessions, expected.size());
      EXPECT_EQ(report.dropped(), 0u);
      EXPECT_EQ(report.moved == 0, before == after);
      EXPECT_EQ(CountIn(tables, SessionKind::kTwoWay), expected.size());
      ExpectHome(tables, after, expected);
      uint64_t active = 0, of_service = 0, of_backend = 0;
      for (const auto& state : states) {
        active += state->counters.sessions_active();
        of_service += state->services[5].sessions_active();
        of_backend += state->backends[7].sessions_active();
      }
      EXPECT_EQ(active, expected.size());
      EXPECT_EQ(of_service, expected.size());
      EXPECT_EQ(of_backend, expected.size());
    }
}

// Killed while it moves sessions, a process leaves every session in one table or in two, and the
// next one, with yet another number of workers, finds them all.
TEST(SessionAdoption, AMoveCutOffAtAnyPointLosesNothing) {
  for (uint32_t round = 1; round <= 30; ++round) {
    Tables left(4, {1000, 1000});
    const auto expected = Fill(left, 3, round, 300);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      while (true)
        for (const uint32_t workers : {2, 4, 3, 1}) AdoptAll(left, workers);
    }
    usleep(round * 7919 % 20'000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const uint32_t workers = 1 + round % 4;
    Tables tables(left, 4);
    const AdoptionReport report = AdoptAll(tables, workers);
    EXPECT_EQ(report.sessions, expected.size()) << round;
    EXPECT_EQ(report.refused, 0u);
    ExpectHome(tables, workers, expected);
    if (HasFailure()) return;
  }
}

TEST(SessionAdoption, WhatHasNoRoomAtHomeIsCounted) {
  Tables left(2, {300, 300});
  const auto expected = Fill(left, 2, 1, 700);
  Tables tables(left, 2);
  const AdoptionReport report = AdoptAll(tables, 1);
  EXPECT_GT(report.unplaced, 0u);
  EXPECT_EQ(tables[1].size(), 0u);
  EXPECT_EQ(report.sessions, CountIn(tables, SessionKind::kTwoWay));
}

TEST(SessionAdoption, RedirectsStayWithTheNumberOfWorkersOnly) {
  Tables left(2, {1000, 1000});
  const auto expected = Fill(left, 1, 3, 200);
  Tables two(left, 2);
  AdoptAll(two, 2);
  const uint64_t redirects = CountIn(two, SessionKind::kRedirect);
  EXPECT_GT(redirects, 0u);
  const KnownSlots known = AllKnown();
  Tables again(two, 2);
  for (uint32_t i = 0; i < 2; ++i) AdoptInPlace(again[i], known, 2, kNowMs);
  EXPECT_EQ(CountIn(again, SessionKind::kRedirect), redirects);
  for (uint32_t i = 0; i < 2; ++i) AdoptInPlace(again[i], known, 0, kNowMs);
  EXPECT_EQ(CountIn(again, SessionKind::kRedirect), 0u);
  EXPECT_EQ(CountIn(again, SessionKind::kTwoWay), expected.size());
}

TEST(SessionAdoption, ARedirectEndsAnHourAfterItsLastPacket) {
  Tables tables(1, {8, 8});
  SessionTable& table = tables[0];
  WorkerState worker(1);
  const Snapshot snapshot;
  Pipeline pipeline(0, table, worker, uint64_t{kNowMs} * 1'000'000);
  const FlowKey key(test::Backend4(0), test::Host("10.0.2.100", 2000), L4Protocol::kTcp);
  const SessionId session =
      table.Insert({key, key}, {key.Reversed(), key.Reversed()}, SessionKind::kRedirect);
  FlowState& state = table.state(RefOf(session, Direction::kForward));
  state.forwarding_mode = kRedirectMode;
  state.last_seen_ms = kNowMs;
  EXPECT_EQ(table.Find(key.Reversed()), kNoFlow);
  FinishAdoption(table, worker, kNowMs);
  const auto expire_at = [&](uint64_t ms) {
    for (uint64_t at = kNowMs; at <= ms; at += 1000)
      pipeline.Expire(snapshot, at * 1'000'000, 1000);
  };
  expire_at(kNowMs + kRedirectTimeoutMs - 2000);
  EXPECT_NE(table.Find(key), kNoFlow);
  expire_at(kNowMs + kRedirectTimeoutMs + 2000);
  EXPECT_EQ(table.Find(key), kNoFlow);
  EXPECT_EQ(worker.counters.sessions_created.value(), 0u);
  EXPECT_EQ(worker.counters.sessions_expired.value(), 0u);
}

// --- bytes that no table left ------------------------------------------------------------------

using Spoil = std::function<void(SessionTable&, SessionId)>;

TEST(SessionAdoption, WhatCannotBeIsDropped) {
  const auto forward = [](SessionTable& table, SessionId session) -> FlowState& {
    return table.state(RefOf(session, Direction::kForward));
  };
  const std::vector<Spoil> spoils = {
      [](auto& table, auto id) { table.record(id).kind = static_cast<SessionKind>(9); },
      [](auto& table, auto id) { table.record(id).kind = SessionKind::kOneWay; },
      [](auto& table, auto id) { table.record(id).kind = SessionKind::kTemplate; },
      [](auto& table, auto id) { table.record(id).kind = SessionKind::kRedirect; },
      [](auto& table, auto id) { table.record(id).service_slot = 6; },
      [](auto& table, auto id) { table.record(id).service_slot = UINT32_MAX; },
      [&](auto& table, auto id) { forward(table, id).backend_slot = 8; },
      [&](auto& table, auto id) { forward(table, id).backend_slot = UINT32_MAX; },
      [&](auto& table, auto id) { forward(table, id).protocol = L4Protocol::kIcmpv6; },
      [&](auto& table, auto id) {
        forward(table, id).tcp_state = static_cast<TcpState>(kTcpStateCount);
      },
      [&](auto& table, auto id) { forward(table, id).forwarding_mode = 200; },
      [&](auto& table, auto id) { forward(table, id).forwarding_mode = Tunnel().index(); },
      [&](auto& table, auto id) { forward(table, id).flags ^= kFlowKeyIsIpv4; },
      [&](auto& table, auto id) { forward(table, id).flags |= kFlowOneWay; },
      [](auto& table, auto id) { table.record(id).home_bucket = 128; },
  };
  KnownSlots known = AllKnown();
  known.services.resize(6);
  known.backends.resize(8);
  for (size_t i = 0; i < spoils.size(); ++i) {
    Tables tables(1, {8, 8});
    const auto expected = Fill(tables, 1, 1, 2);
    ASSERT_GE(expected.size(), 1u);
    const FlowRef flow = tables[0].Find(expected.back().forward);
    // A flow of UDP has no states to be wrong.
    forward(tables[0], SessionOf(flow)).tcp_state = TcpState::kNone;
    if (expected.back().forward.protocol == L4Protocol::kTcp)
      forward(tables[0], SessionOf(flow)).tcp_state = TcpState::kEstablished;
    spoils[i](tables[0], SessionOf(flow));
    const AdoptionReport report = AdoptInPlace(tables[0], known, 2, kNowMs);
    EXPECT_EQ(report.refused, 1u) << i;
    EXPECT_EQ(tables[0].Find(expected.back().forward), kNoFlow) << i;
  }
}

// Whatever the memory holds: what is kept can be found, listed, looked at by timers and ended.
TEST(SessionAdoption, NoiseDoesNoHarm) {
  test::Random random(1);
  const KnownSlots known = AllKnown();
  uint64_t kept = 0;
  for (int round = 0; round < 60; ++round) {
    Tables left(1, {40, 40});
    Fill(left, 1, random(), 60);
    Tables tables(left, 1);
    SessionTable& table = tables[0];
    for (int i = 0; i < 200; ++i) {
      const SessionId session = random() % 80;
      const FlowRef flow = RefOf(session, static_cast<Direction>(random() % 2));
      auto* const record = reinterpret_cast<std::byte*>(&table.record(session));
      std::byte* const state = table.IsWide(flow)
                                   ? reinterpret_cast<std::byte*>(&table.wide(flow))
                                   : reinterpret_cast<std::byte*>(&table.narrow(flow));
      const size_t flow_bytes = table.IsWide(flow) ? sizeof(WideFlow) : sizeof(NarrowFlow);
      if (random() % 2)
        record[random() % sizeof(SessionRecord)] = static_cast<std::byte>(random() % 4);
      else
        state[random() % flow_bytes] = static_cast<std::byte>(random());
    }
    AdoptInPlace(table, known, 2, kNowMs);
    WorkerState worker(1);
    Pipeline pipeline(0, table, worker, uint64_t{kNowMs} * 1'000'000);
    FinishAdoption(table, worker, kNowMs);
    kept += table.size();
    for (SessionId session = 0; session < 80; ++session) {
      if (!table.record(session).in_use()) continue;
      const FlowRef flow = RefOf(session, Direction::kForward);
      EXPECT_EQ(table.Find(table.Describe(flow).key), flow);
      pipeline.DeadlineMs(Snapshot{}, session);
    }
    for (uint64_t at_ms = kNowMs; at_ms < kNowMs + uint64_t{2} * kRedirectTimeoutMs; at_ms += 8000)
      pipeline.Expire(Snapshot{}, at_ms * 1'000'000, 1000);
    EXPECT_EQ(table.size(), 0u);
    EXPECT_EQ(worker.counters.sessions_active(), 0u);
  }
  EXPECT_GT(kept, 200u);
}

// --- packets -----------------------------------------------------------------------------------

TEST(SessionAdoption, PacketsOfFlowsWaitForTheServicesAndOthersDoNot) {
  test::Box box;
  box.AddUsualServices();
  const test::Datagram request{.source = test::Host("198.51.100.7", 4000),
                               .destination = test::kVip4};
  EXPECT_EQ(box.FromClient(request).verdict, net::Verdict::kForwarded);
  const test::Datagram to_the_box{.source = test::Host("198.51.100.7", 4000),
                                  .destination = test::Host("10.0.1.254", 22)};
  box.Adopt();
  box.snapshot.awaits_configuration = true;
  EXPECT_EQ(box.FromClient(request).verdict, net::Verdict::kAwaitingConfiguration);
  EXPECT_EQ(box.FromClient(to_the_box).verdict, net::Verdict::kAwaitingConfiguration);
  box.Pass(3'600'000);
  box.Expire();
  EXPECT_EQ(box.sessions().size(), 1u) << "nothing ends by a timeout that may not be its own";
  box.snapshot.awaits_configuration = false;
  EXPECT_EQ(box.FromClient(request).verdict, net::Verdict::kForwarded);
  EXPECT_EQ(box.sessions().size(), 1u);
  EXPECT_EQ(box.FromClient(to_the_box).verdict, net::Verdict::kPunted);
}

}  // namespace
}  // namespace steelyard::core
