// SPDX-License-Identifier: Apache-2.0
//
// Several poll loops on threads of their own, while configurations are published, tasks run and
// shares are dealt out: everything that passes between threads of the dataplane, for the thread
// sanitizer to read along (meson setup build-tsan -Db_sanitize=thread).
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "packet/box.h"
#include "worker/memory_port_queue.h"
#include "worker/poll_loop.h"

namespace steelyard::test {
namespace {

using worker::Frame;

constexpr uint32_t kWorkers = 3;
constexpr uint32_t kFlows = 200;
constexpr uint32_t kPacketsOfAFlow = 10;

class FixedClock final : public worker::Clock {
 public:
  uint64_t NowNs() override { return now_ns_ += 1000; }

 private:
  uint64_t now_ns_ = 1'000'000'000'000;
};

// One worker with two ports in memory. Replies come in by its own ports, whoever's they are.
struct Unit {
  Unit(uint32_t index, worker::HandoffRings& rings, worker::SnapshotPublisher& snapshots,
       worker::BufferLedger& ledger)
      : ports{{0, ledger}, {1, ledger}},
        memory(core::SessionTable::RequiredBytes(kCapacity) / 64 + 1),
        sessions(std::as_writable_bytes(std::span(memory)), kCapacity, {}),
        pipeline(index, sessions, state, clock.NowNs()),
        handoff(rings, index),
        loop({.worker_index = index,
              .ports = {&ports[0], &ports[1]},
              .pipeline = &pipeline,
              .snapshots = &snapshots,
              .mailbox = &mailbox,
              .handoff = &handoff,
              .state = &state,
              .clock = &clock}) {}

  static constexpr core::SessionCapacity kCapacity{4096, 16};
  struct alignas(64) Line {
    std::byte bytes[64]{};
  };

  FixedClock clock;
  core::WorkerState state{1};
  worker::MemoryPortQueue ports[2];
  std::vector<Line> memory;
  core::SessionTable sessions;
  core::Pipeline pipeline;
  worker::WorkerMailbox mailbox;
  worker::Handoff handoff;
  worker::PollLoop loop;
};

class CountSessions final : public worker::Task {
 public:
  bool Step(core::Pipeline& pipeline, uint64_t) override {
    count = pipeline.sessions().size();
    return true;
  }
  uint32_t count = 0;
};

TEST(WorkersRace, TrafficConfigurationAndTasksAtOnce) {
  Box box;  // for its configuration
  box.snapshot.steering = std::make_shared<const core::Steering>(kWorkers);
  box.AddUsualServices(3);
  const auto next_snapshot = [&] {
    box.Compile();
    auto snapshot = std::make_unique<core::Snapshot>(box.snapshot);
    snapshot->checks_ownership = true;
    return snapshot;
  };
  worker::HandoffRings rings(kWorkers);
  worker::SnapshotPublisher snapshots(next_snapshot(), kWorkers);
  worker::BufferLedger ledger;
  std::vector<std::unique_ptr<Unit>> units;
  for (uint32_t i = 0; i < kWorkers; ++i)
    units.push_back(std::make_unique<Unit>(i, rings, snapshots, ledger));

  // Every flow's packets arrive at all workers in turn.
  for (uint32_t n = 0; n < kFlows * kPacketsOfAFlow; ++n) {
    const net::Endpoint client{kClient4.address,
                               net::Be16(static_cast<uint16_t>(5000 + n % kFlows))};
    Frame frame = UdpFrame(Datagram{.source = client, .destination = kVip4, .payload = {1, 2, 3}});
    std::copy_n(box.ports[kClientPort].mac.bytes.begin(), 6, frame.begin());
    units[n / 7 % kWorkers]->ports[kClientPort].wire_in.push_back(std::move(frame));
  }

  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (const auto& unit : units) threads.emplace_back([&] { unit->loop.Run(stop); });
  const auto total = [&](auto member) {
    uint64_t sum = 0;
    for (const auto& unit : units) sum += (unit->state.counters.*member).value();
    return sum;
  };
  const auto forwarded = [&] {
    uint64_t sum = 0;
    for (const auto& unit : units)
      sum += unit->state.counters.verdicts[static_cast<size_t>(net::Verdict::kForwarded)].value();
    return sum;
  };
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (int round = 0; round < 50 || forwarded() < kFlows * kPacketsOfAFlow; ++round) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << forwarded();
    ASSERT_TRUE(snapshots.Publish(next_snapshot(), std::chrono::seconds(60)).complete);
    for (const auto& unit : units) {
      CountSessions task;
      ASSERT_TRUE(unit->mailbox.Run(task));
      for (core::SessionShare& share : unit->state.service_shares)
        share.elsewhere.store(task.count, std::memory_order_relaxed);
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(forwarded(), kFlows * kPacketsOfAFlow);
  EXPECT_EQ(total(&core::WorkerCounters::sessions_created), kFlows) << "each at one worker";
  EXPECT_EQ(total(&core::WorkerCounters::foreign_packets), 0u);
  EXPECT_GT(total(&core::WorkerCounters::handoff_sent), 0u);
  EXPECT_EQ(total(&core::WorkerCounters::handoff_sent),
            total(&core::WorkerCounters::handoff_received));
  EXPECT_EQ(ledger.lent(), 0u) << "no buffer is lost";
}

}  // namespace
}  // namespace steelyard::test
