// SPDX-License-Identifier: Apache-2.0
#include "worker/poll_loop.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <random>
#include <span>
#include <thread>

#include "worker/memory_port_queue.h"

namespace steelyard::worker {
namespace {

// Moves on by itself, as a clock does.
class SteppingClock final : public Clock {
 public:
  uint64_t NowNs() override { return now_ns_ += 1000; }

 private:
  uint64_t now_ns_ = 0;
};

// A worker with two ports and an empty configuration: all it can do is be transparent.
class PollLoopTest : public testing::Test {
 protected:
  PollLoopTest()
      : session_lines_(core::SessionTable::RequiredBytes(kCapacity) / sizeof(CacheLine) + 1),
        sessions_(std::as_writable_bytes(std::span(session_lines_)), kCapacity, {}),
        pipeline_(0, sessions_, state_, clock_.NowNs()),
        loop_({.worker_index = 0,
               .ports = {&ports_[0], &ports_[1]},
               .pipeline = &pipeline_,
               .snapshots = &snapshots_,
               .mailbox = &mailbox_,
               .state = &state_,
               .clock = &clock_}) {}

  static std::unique_ptr<core::Snapshot> EmptySnapshot() {
    auto snapshot = std::make_unique<core::Snapshot>();
    snapshot->ports.resize(2);
    return snapshot;
  }

  static Frame RandomFrame(std::mt19937& random) {
    Frame frame(std::uniform_int_distribution<size_t>(0, 200)(random));
    for (uint8_t& byte : frame) byte = static_cast<uint8_t>(random());
    if (frame.size() > 14) frame[12] = 0x08, frame[13] = static_cast<uint8_t>(random() % 8);
    return frame;
  }

  struct alignas(64) CacheLine {
    std::array<std::byte, 64> bytes{};
  };
  static constexpr core::SessionCapacity kCapacity{1024, 1024};

  BufferLedger ledger_;
  MemoryPortQueue ports_[2]{{0, ledger_}, {1, ledger_}};
  SteppingClock clock_;
  core::WorkerState state_{1};
  core::WorkerCounters& counters_ = state_.counters;
  std::vector<CacheLine> session_lines_;
  core::SessionTable sessions_;
  core::Pipeline pipeline_;
  SnapshotPublisher snapshots_{EmptySnapshot(), 1};
  WorkerMailbox mailbox_;
  PollLoop loop_;
};

TEST_F(PollLoopTest, ReceivedIsTheSumOfVerdicts) {
  std::mt19937 random(7);
  const auto up_to = [&](uint32_t most) {
    return std::uniform_int_distribution<uint32_t>(0, most)(random);
  };
  for (MemoryPortQueue& port : ports_) port.send_limit = port.punt_limit = up_to;
  uint64_t fed = 0;
  for (int round = 0; round < 1000; ++round) {
    for (MemoryPortQueue& port : ports_) {
      for (uint32_t left = up_to(core::kBurstCapacity); left > 0; --left, ++fed)
        port.wire_in.push_back(RandomFrame(random));
    }
    loop_.Poll();
    uint64_t sum = 0;
    for (const core::Counter& counter : counters_.verdicts) sum += counter.value();
    ASSERT_EQ(counters_.received_packets.value(), sum);
    ASSERT_EQ(ledger_.lent(), 0u);
  }
  EXPECT_EQ(counters_.received_packets.value(), fed);
  EXPECT_EQ(counters_.polls.value(), 1000u);
  EXPECT_GT(counters_.verdicts[static_cast<size_t>(net::Verdict::kPunted)].value(), 0u);
  EXPECT_GT(counters_.verdicts[static_cast<size_t>(net::Verdict::kPuntQueueFull)].value(), 0u);
}

TEST_F(PollLoopTest, WithAnEmptySnapshotArpGoesToTheKernelUnchanged) {
  Frame arp(60);
  std::fill_n(arp.begin(), 6, uint8_t{0xff});
  arp[6] = 0x02;
  arp[12] = 0x08;
  arp[13] = 0x06;
  ports_[1].wire_in.push_back(arp);
  loop_.Poll();
  ASSERT_EQ(ports_[1].kernel_out.size(), 1u);
  EXPECT_EQ(ports_[1].kernel_out[0], arp);
  EXPECT_TRUE(ports_[0].kernel_out.empty());
}

TEST_F(PollLoopTest, WhatTheKernelSendsLeavesByItsPort) {
  ports_[0].kernel_in.assign(3, Frame(60));
  ports_[1].kernel_in.assign(2, Frame(60));
  ports_[1].send_limit = [](uint32_t) { return 0; };
  loop_.Poll();
  EXPECT_EQ(ports_[0].wire_out.size(), 3u);
  EXPECT_EQ(counters_.kernel_received_packets.value(), 5u);
  EXPECT_EQ(counters_.kernel_dropped_packets.value(), 2u);
  EXPECT_EQ(counters_.received_packets.value(), 0u);
  EXPECT_EQ(counters_.busy_polls.value(), 0u);
}

// The two ways from the main thread to a running worker, together; the thread sanitizer reads
// along.
TEST_F(PollLoopTest, PublishesAndRunsTasksWhileTrafficPasses) {
  class ReadCounters final : public Task {
   public:
    explicit ReadCounters(const core::WorkerCounters& counters) : counters_(counters) {}
    bool Step(core::Pipeline&, uint64_t) override {
      polls = counters_.polls.value();
      return ++steps_ == 3;
    }
    uint64_t polls = 0;

   private:
    const core::WorkerCounters& counters_;
    int steps_ = 0;
  };

  std::atomic<bool> stop{false};
  ports_[0].wire_in.assign(2000, Frame(60));
  std::thread worker([&] { loop_.Run(stop); });
  uint64_t last_polls = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(snapshots_.Publish(EmptySnapshot(), std::chrono::seconds(60)).complete);
    ReadCounters task(counters_);
    ASSERT_TRUE(mailbox_.Run(task));
    EXPECT_GE(task.polls, last_polls);
    last_polls = task.polls;
  }
  stop = true;
  worker.join();
  EXPECT_EQ(counters_.received_packets.value(), 2000u);
  ReadCounters after(counters_);
  EXPECT_FALSE(mailbox_.Run(after));
  EXPECT_TRUE(snapshots_.Publish(EmptySnapshot()).complete);
}

}  // namespace
}  // namespace steelyard::worker
