// SPDX-License-Identifier: Apache-2.0
#include "session_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/forward/forwarding_mode.h"

namespace steelyard {
namespace {

using core::Direction;
using core::RefOf;
using net::Be16;
using net::Be32;
using net::FlowKey;

constexpr core::SessionCapacity kCapacity{100, 50};
constexpr uint64_t kNowNs = 5'000'000'000'000;

// A process with an instance's sessions.
struct Process {
  Process(const std::string& directory, uint32_t worker_count, core::SessionCapacity capacity,
          bool discard = false)
      : store(std::move(*SessionStore::Open({directory, capacity, worker_count, discard}))),
        steering(worker_count) {
    std::vector<core::SessionTable*> raw;
    std::vector<core::WorkerState*> raw_states;
    for (uint32_t i = 0; i < worker_count; ++i) {
      const SessionSegment& segment = store.segment(i);
      tables.push_back(std::make_unique<core::SessionTable>(
          segment.table_memory(), segment.identity().capacity, segment.identity().secret));
      states.push_back(std::make_unique<core::WorkerState>(1));
      raw.push_back(tables.back().get());
      raw_states.push_back(states.back().get());
    }
    report = store.Adopt(raw, raw_states, steering, kNowNs);
  }

  void OpenSession(uint16_t port) {
    const FlowKey front({net::Ipv4Address{Be32(0x0a000001)}, Be16(port)},
                        {net::Ipv4Address{Be32(0x0a000002)}, Be16(80)}, net::L4Protocol::kUdp);
    const FlowKey back({net::Ipv4Address{Be32(0x0a000003)}, Be16(port)},
                       {net::Ipv4Address{Be32(0x0a000004)}, Be16(80)}, net::L4Protocol::kUdp);
    const uint32_t home_bucket = steering.BucketOf(front);
    core::SessionTable& table = *tables[steering.OwnerOf(home_bucket)];
    const core::SessionId session =
        table.Insert({front, back}, {back.Reversed(), front.Reversed()});
    ASSERT_NE(session, core::kNoSession);
    table.record(session).service_slot = 1;
    table.record(session).home_bucket = static_cast<uint8_t>(home_bucket);
    for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
      table.state(RefOf(session, direction)).backend_slot = 2;
      table.state(RefOf(session, direction)).forwarding_mode = core::FullNat().index();
    }
    table.Complete(session);
  }
  void OpenSessions(uint16_t count) {
    store.journal().Record(SlotJournal::Kind::kService, 1, "web");
    store.journal().Record(SlotJournal::Kind::kBackend, 2, "web 10.0.0.4 80");
    for (uint16_t port = 1; port <= count; ++port) OpenSession(port);
  }

  SessionStore store;
  core::Steering steering;
  std::vector<std::unique_ptr<core::SessionTable>> tables;
  std::vector<std::unique_ptr<core::WorkerState>> states;
  SessionStore::Report report;
};

class SessionStoreTest : public testing::Test {
 protected:
  SessionStoreTest() {
    std::string name = testing::TempDir() + "steelyard-store-XXXXXX";
    directory = std::string(mkdtemp(name.data())) + "/instance";
  }
  ~SessionStoreTest() override {
    std::filesystem::remove_all(std::filesystem::path(directory).parent_path());
  }
  size_t SegmentCount() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
      count += entry.path().extension() == ".sessions";
    return count;
  }
  std::string directory;
};

TEST_F(SessionStoreTest, SessionsAreThereWhateverWorkersAndCapacitiesWereAndAre) {
  struct Shape {
    uint32_t workers;
    core::SessionCapacity capacity;
  };
  const std::vector<Shape> shapes = {{1, kCapacity}, {1, kCapacity},   {3, kCapacity},
                                     {3, {90, 10}},  {2, {200, 1}},    {1, {80, 0}},
                                     {4, kCapacity}, {2, {1000, 500}}, {2, {1000, 500}}};
  Process(directory, 1, kCapacity).OpenSessions(60);
  for (const Shape& shape : shapes) {
    const Process process(directory, shape.workers, shape.capacity);
    EXPECT_EQ(process.report.sessions.sessions, 60u);
    EXPECT_EQ(process.report.sessions.dropped(), 0u);
    EXPECT_EQ(SegmentCount(), shape.workers);
  }
  struct stat status;
  ASSERT_EQ(stat(directory.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(SessionStoreTest, TheSameShapeMovesNothing) {
  Process(directory, 2, kCapacity).OpenSessions(60);
  const Process process(directory, 2, kCapacity);
  EXPECT_EQ(process.report.sessions.moved, 0u);
  EXPECT_EQ(process.report.sessions.sessions, 60u);
  EXPECT_EQ(process.report.workers, 2u);
}

TEST_F(SessionStoreTest, ItKnowsWhenPacketsWereLookedForLast) {
  {
    const Process process(directory, 2, kCapacity);
    process.store.segment(0).last_poll_ns() = 70;
    process.store.segment(1).last_poll_ns() = 90;
  }
  EXPECT_EQ(Process(directory, 1, kCapacity).report.last_poll_ns, 90u);
}

TEST_F(SessionStoreTest, DiscardingBeginsEmpty) {
  Process(directory, 2, kCapacity).OpenSessions(60);
  Process process(directory, 1, kCapacity, true);
  EXPECT_EQ(process.report.sessions.sessions, 0u);
  EXPECT_TRUE(process.store.journal().assignments(SlotJournal::Kind::kService).empty());
  EXPECT_EQ(SegmentCount(), 1u);
}

// Every one is named with its reason, in one line, and an empty table takes its place.
TEST_F(SessionStoreTest, WhatIsNoSegmentOfThisProgramAndBootIsRefused) {
  const std::string path = directory + "/worker-0.100-50.sessions";
  const auto put = [&](std::streamoff offset, char byte) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offset);
    file.put(byte);
  };
  struct Case {
    const char* reason;
    std::function<void()> spoil;
  };
  const std::vector<Case> cases = {
      {"is no segment", [&] { put(0, 'X'); }},
      {"is of version 9", [&] { put(8, 9); }},
      {"has a damaged header", [&] { put(16, '!'); }},
      {"has a damaged header", [&] { put(64, '!'); }},
      {"has a damaged header", [&] { put(70, '!'); }},
      {"is cut short", [&] { std::filesystem::resize_file(path, 8192); }},
      {"is too short", [&] { std::filesystem::resize_file(path, 100); }},
      {"is empty", [&] { std::filesystem::resize_file(path, 0); }},
      {"is no segment", [&] { std::ofstream(path) << std::string(100'000, 'x'); }},
      {"is another worker's",
       [&] { std::filesystem::rename(path, directory + "/worker-1.100-50.sessions"); }},
      {"/slots is no list of names",
       [&] { std::ofstream(directory + "/slots") << std::string(100, 'x'); }},
  };
  for (const Case& spoilt : cases) {
    Process(directory, 1, kCapacity).OpenSessions(5);
    spoilt.spoil();
    testing::internal::CaptureStderr();
    const Process process(directory, 1, kCapacity);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find(directory), std::string::npos) << said;
    EXPECT_NE(said.find(spoilt.reason), std::string::npos) << said;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    EXPECT_EQ(process.report.sessions.sessions, 0u) << spoilt.reason;
    EXPECT_EQ(SegmentCount(), 1u) << spoilt.reason;
  }
}

TEST_F(SessionStoreTest, OtherLayoutsAndBootsAreRefused) {
  const std::string path = directory + "/worker-0.100-50.sessions";
  // Whole, but for what a layout or boot of another kind would have.
  const auto refusal = [&](size_t offset) {
    { const Process process(directory, 1, kCapacity); }
    auto file = MappedFile::Open(path);
    std::byte* const header = file->bytes().data();
    header[offset] ^= std::byte{1};
    constexpr size_t kChecksumOffset = 8 + 4 + 4 + 8 + 40 + 8 + sizeof(core::HashSecret);
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < kChecksumOffset; ++i)
      hash = (hash ^ static_cast<uint8_t>(header[i])) * 0x100000001b3;
    std::memcpy(header + kChecksumOffset, &hash, sizeof hash);
    const auto segment = SessionSegment::Open(path);
    return segment ? std::string("none") : segment.error().message;
  };
  EXPECT_EQ(refusal(16), "is of a program in which sessions lie otherwise in memory");
  EXPECT_EQ(refusal(24), "is from before the last boot");
}

}  // namespace
}  // namespace steelyard
