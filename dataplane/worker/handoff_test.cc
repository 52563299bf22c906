// SPDX-License-Identifier: Apache-2.0
#include "worker/handoff.h"

#include <gtest/gtest.h>

#include <deque>
#include <numeric>
#include <random>
#include <thread>

namespace steelyard::worker {
namespace {

constexpr std::array<uint8_t, core::kBurstCapacity> kAll = [] {
  std::array<uint8_t, core::kBurstCapacity> indices{};
  std::iota(indices.begin(), indices.end(), uint8_t{0});
  return indices;
}();

// Packets that are told apart by their length.
core::Burst Numbered(uint32_t first, uint32_t count, core::PortId in_port) {
  core::Burst burst;
  burst.count = count;
  burst.in_port = in_port;
  for (uint32_t i = 0; i < count; ++i) {
    burst.packet[i] = {nullptr, first + i, 128};
    burst.buffer[i] = nullptr;
    burst.steered[i] = core::Steered::kByHash;
  }
  return burst;
}

TEST(HandoffRing, EqualsAQueueUnderRandomUse) {
  std::mt19937 random(1);
  auto ring = std::make_unique<HandoffRing>();
  std::deque<std::pair<uint32_t, core::PortId>> model;
  uint32_t pushed = 0;
  for (int round = 0; round < 100'000; ++round) {
    if (random() % 100 < (round / 5000 % 2 ? 40u : 60u)) {
      const auto in_port = static_cast<core::PortId>(random() % 2);
      const auto count = static_cast<uint32_t>(random() % (core::kBurstCapacity + 1));
      const core::Burst burst = Numbered(pushed, count, in_port);
      const uint32_t taken = ring->Push(burst, std::span(kAll).first(count));
      ASSERT_EQ(taken, std::min<size_t>(count, HandoffRing::kCapacity - model.size()));
      for (uint32_t i = 0; i < taken; ++i) model.emplace_back(pushed + i, in_port);
      pushed += taken;
    } else {
      core::Burst burst;
      ring->Pop(burst);
      ASSERT_EQ(burst.count == 0, model.empty());
      for (uint32_t i = 0; i < burst.count; ++i) {
        ASSERT_EQ(burst.packet[i].length, model.front().first);
        ASSERT_EQ(burst.in_port, model.front().second) << "a burst is of one port";
        ASSERT_EQ(burst.steered[i], core::Steered::kByHash);
        model.pop_front();
      }
    }
  }
}

TEST(HandoffRing, CountsRoundTheEndOfItsIndices) {
  auto ring = std::make_unique<HandoffRing>();
  core::Burst out;
  for (uint64_t moved = 0; moved < (1u << 20); moved += 32) {
    ring->Push(Numbered(7, 32, 1), kAll);
    ring->Pop(out);
    ASSERT_EQ(out.count, 32u);
  }
}

// Every worker hands off to every other at once; each pair's packets come whole and in order.
TEST(Handoff, WorkersMeet) {
  constexpr uint32_t kWorkers = 4;
  constexpr uint32_t kPacketsEach = 50'000;
  HandoffRings rings(kWorkers);
  std::vector<uint64_t> received(kWorkers);
  std::vector<std::thread> workers;
  for (uint32_t self = 0; self < kWorkers; ++self) {
    workers.emplace_back([&, self] {
      Handoff handoff(rings, self);
      std::array<uint32_t, kWorkers> sent{}, expected{};
      for (bool is_done = false; !is_done;) {
        is_done = true;
        for (uint32_t other = 0; other < kWorkers; ++other) {
          if (other == self) continue;
          const uint32_t count = std::min(core::kBurstCapacity, kPacketsEach - sent[other]);
          sent[other] += handoff.Send(Numbered(sent[other], count, 0),
                                      std::span(kAll).first(count), other);
          core::Burst burst;
          handoff.Receive(other, burst);
          for (uint32_t i = 0; i < burst.count; ++i)
            received[self] += burst.packet[i].length == expected[other]++;
          is_done &= sent[other] == kPacketsEach && expected[other] == kPacketsEach;
        }
        std::this_thread::yield();
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (const uint64_t count : received) EXPECT_EQ(count, (kWorkers - 1) * kPacketsEach);
}

}  // namespace
}  // namespace steelyard::worker
