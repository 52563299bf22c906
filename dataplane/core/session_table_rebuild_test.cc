// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <vector>

#include "core/session_table.h"
#include "packet/session_model.h"

namespace steelyard::core {
namespace {

using test::RandomSessions;
using test::TableAndModel;

TEST(SessionTableRebuild, ATableEqualsAMapHoweverOftenItIsReopened) {
  for (const SessionCapacity capacity :
       {SessionCapacity{200, 200}, SessionCapacity{3, 1}, SessionCapacity{0, 50}}) {
    TableAndModel both(capacity);
    RandomSessions make(capacity.narrow);
    for (int round = 0; round < 20'000; ++round) {
      const auto [forward, reverse] = make.Make(make.AnyKind());
      if (make.random() % 3 == 0)
        both.RemoveOne(make.random);
      else
        both.Insert(forward, reverse);
      both.ExpectFound(forward.key);
      if (make.random() % 100 == 0) {
        both.Reopen();
        both.ExpectEqual();
      }
      if (HasFailure()) FAIL() << "round " << round;
    }
  }
}

// Every key has one hash: what was refused a place before is refused it again, and nothing else.
TEST(SessionTableRebuild, KeysOfOneHashFindTheirPlacesAgain) {
  HashSecret secret;
  secret.words[3] = 0;
  TableAndModel both({64, 0}, secret);
  RandomSessions make(2);
  for (int round = 0; round < 200; ++round) {
    const auto [forward, reverse] = make.Make(RandomSessions::kNarrow);
    both.Insert(forward, reverse);
    if (round % 3 == 0) both.RemoveOne(make.random);
    both.Reopen();
    both.ExpectEqual();
  }
}

TEST(SessionTableRebuild, WhatIsNotCompleteOrNotWantedIsFree) {
  TableAndModel both({8, 0});
  RandomSessions make(3);
  for (int i = 0; i < 100 && both.size() < 6; ++i) {
    const auto [forward, reverse] = make.Make(RandomSessions::kNarrow);
    both.Insert(forward, reverse);
  }
  SessionTable& table = both.table();
  table.record(1).stage = SessionStage::kOpening;
  table.record(4).stage = static_cast<SessionStage>(0x77);  // nobody wrote that
  const auto rebuilt = table.Rebuild([](SessionId session) { return session != 2; });
  EXPECT_EQ(rebuilt.kept, 3u);
  EXPECT_EQ(rebuilt.incomplete, 2u);
  EXPECT_EQ(rebuilt.refused, 1u);
  EXPECT_EQ(table.size(), 3u);
  for (SessionId session = 0; session < 8; ++session) {
    const bool is_kept = session == 0 || session == 3 || session == 5;
    EXPECT_EQ(table.record(session).in_use(), is_kept) << session;
  }
  for (int i = 0; i < 5; ++i) {
    const FlowRef free = RefOf(table.Insert(make.Make(RandomSessions::kNarrow).first,
                                            make.Make(RandomSessions::kNarrow).second),
                               Direction::kForward);
    EXPECT_NE(SessionOf(free), kNoSession);
  }
  EXPECT_EQ(table.size(), 8u);
}

TEST(SessionTableRebuild, OfTwoWithAKeyInCommonOneIsKept) {
  TableAndModel both({8, 8});
  RandomSessions make(4);
  for (const auto kind : {RandomSessions::kNarrow, RandomSessions::kMixed4To6}) {
    const auto [forward, reverse] = make.Make(kind);
    SessionTable& table = both.table();
    const SessionId first = table.Insert(forward, reverse);
    const auto [other_forward, other_reverse] = make.Make(kind);
    const SessionId second = table.Insert(other_forward, other_reverse);
    for (const SessionId session : {first, second}) table.Complete(session);
    // As no table of ours would be left.
    const FlowRef reverse_of_first = RefOf(first, Direction::kReverse);
    const FlowRef reverse_of_second = RefOf(second, Direction::kReverse);
    if (kind == RandomSessions::kNarrow)
      table.narrow(reverse_of_second) = table.narrow(reverse_of_first);
    else
      table.wide(reverse_of_second) = table.wide(reverse_of_first);
    const auto rebuilt = table.Rebuild([](SessionId) { return true; });
    EXPECT_EQ(rebuilt.unplaced, 1u);
    EXPECT_EQ(table.Find(reverse.key), reverse_of_first);
    EXPECT_EQ(table.Find(other_forward.key), kNoFlow);
    EXPECT_FALSE(table.record(second).in_use());
    EXPECT_EQ(table.size(), rebuilt.kept);
  }
}

// --- killed at any instant ---------------------------------------------------------------------

constexpr SessionCapacity kCapacity{40, 40};

// What a process does with a table: opens sessions, completes them, ends them, over and over. Two
// with the same seed do the same.
class Worker {
 public:
  Worker(std::span<std::byte> memory, uint32_t seed)
      : table_(memory, kCapacity, HashSecret{}), make_(seed, 16) {}

  void Step() {
    const uint32_t choice = make_.random() % 8;
    if (choice < 5) return Open(choice != 0);
    if (open_.empty()) return;
    const size_t at = make_.random() % open_.size();
    table_.Remove(open_[at]);
    open_[at] = open_.back();
    open_.pop_back();
  }

  SessionTable& table() { return table_; }

 private:
  void Open(bool completes) {
    const auto [forward, reverse] = make_.Make(make_.AnyKind());
    const uint32_t mark = make_.random();
    if (forward.key == reverse.key || table_.Find(forward.key) != kNoFlow ||
        table_.Find(reverse.key) != kNoFlow)
      return;
    const SessionId session = table_.Insert(forward, reverse);
    if (session == kNoSession) return;
    open_.push_back(session);
    if (!completes) return;
    table_.record(session).service_slot = mark;
    table_.state(RefOf(session, Direction::kForward)).backend_slot = mark;
    table_.state(RefOf(session, Direction::kReverse)).backend_slot = mark;
    table_.Complete(session);
  }

  SessionTable table_;
  RandomSessions make_;
  std::vector<SessionId> open_;
};

struct Session {
  net::FlowKey forward, forward_rewrite, reverse, reverse_rewrite;
  std::array<uint32_t, 3> marks;
  friend bool operator==(const Session&, const Session&) = default;
};

std::map<SessionId, Session> CompleteSessionsOf(const SessionTable& table) {
  std::map<SessionId, Session> sessions;
  for (SessionId session = 0; session < kCapacity.total(); ++session) {
    if (table.record(session).stage != SessionStage::kComplete) continue;
    const FlowRef forward = RefOf(session, Direction::kForward);
    const auto there = table.Describe(forward), back = table.Describe(OtherDirection(forward));
    sessions.emplace(session,
                     Session{there.key,
                             there.rewrite,
                             back.key,
                             back.rewrite,
                             {table.record(session).service_slot, table.state(forward).backend_slot,
                              table.state(OtherDirection(forward)).backend_slot}});
  }
  return sessions;
}

struct Shared {
  std::atomic<uint64_t> steps_done{0};
};

class Mapping {
 public:
  explicit Mapping(size_t bytes)
      : bytes_(bytes),
        memory_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {}
  ~Mapping() { munmap(memory_, bytes_); }
  std::byte* data() const { return static_cast<std::byte*>(memory_); }

 private:
  size_t bytes_;
  void* memory_;
};

void KillOneAndRebuild(uint32_t seed) {
  const size_t table_bytes = SessionTable::RequiredBytes(kCapacity);
  const Mapping mapping(64 + table_bytes);
  auto& shared = *new (mapping.data()) Shared;
  const std::span table_memory(mapping.data() + 64, table_bytes);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Worker worker(table_memory, seed);
    while (true) {
      worker.Step();
      shared.steps_done.fetch_add(1);
    }
  }
  while (shared.steps_done.load() < 100) usleep(100);
  usleep(seed * 7919 % 1500);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);

  // The last step was under way: it was done, or it was not.
  const Mapping twin_memory(table_bytes);
  Worker twin({twin_memory.data(), table_bytes}, seed);
  for (uint64_t step = 0; step < shared.steps_done.load(); ++step) twin.Step();
  const auto before = CompleteSessionsOf(twin.table());
  twin.Step();
  const auto after = CompleteSessionsOf(twin.table());

  SessionTable table(table_memory, kCapacity, HashSecret{});
  const auto rebuilt = table.Rebuild([](SessionId) { return true; });
  const auto found = CompleteSessionsOf(table);
  EXPECT_TRUE(found == before || found == after) << "seed " << seed;
  EXPECT_EQ(rebuilt.kept, found.size());
  EXPECT_EQ(rebuilt.unplaced, 0u);
  for (const auto& [session, content] : found) {
    EXPECT_EQ(table.Find(content.forward), RefOf(session, Direction::kForward));
    EXPECT_EQ(table.Find(content.reverse), RefOf(session, Direction::kReverse));
  }
}

TEST(SessionTableRebuild, AProcessKilledAtAnyInstantLeavesItsCompleteSessionsWhole) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    KillOneAndRebuild(seed);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace steelyard::core
