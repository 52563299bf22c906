// SPDX-License-Identifier: Apache-2.0
#include "worker/dispatch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "worker/memory_port_queue.h"

namespace steelyard::worker {
namespace {

using net::Verdict;

constexpr core::PortId kPorts = 3;

class DispatchTest : public testing::Test {
 protected:
  DispatchTest() {
    for (core::PortId id = 0; id < kPorts; ++id) {
      queues_.push_back(std::make_unique<MemoryPortQueue>(id, ledger_));
      ports_.push_back(queues_.back().get());
    }
  }

  // `count` frames, each starting with its position in the burst.
  core::Burst ReceiveNumbered(core::PortId in_port, uint32_t count) {
    core::Burst burst;
    for (uint32_t i = 0; i < count; ++i)
      queues_[in_port]->wire_in.push_back(Frame(64, static_cast<uint8_t>(i)));
    queues_[in_port]->Receive(burst);
    return burst;
  }

  uint64_t Count(Verdict verdict) const {
    return counters_.verdicts[static_cast<size_t>(verdict)].value();
  }

  uint64_t CountAll() const {
    uint64_t sum = 0;
    for (const core::Counter& counter : counters_.verdicts) sum += counter.value();
    return sum;
  }

  size_t CountOut(std::vector<Frame> MemoryPortQueue::*where) const {
    size_t sum = 0;
    for (const auto& queue : queues_) sum += (queue.get()->*where).size();
    return sum;
  }

  BufferLedger ledger_;
  std::vector<std::unique_ptr<MemoryPortQueue>> queues_;
  std::vector<PortQueue*> ports_;
  core::WorkerState state_{1};
  core::WorkerCounters& counters_ = state_.counters;
};

TEST_F(DispatchTest, EveryPacketIsCountedOnceWhateverIsRefused) {
  std::mt19937 random(1);
  const auto up_to = [&](uint32_t most) {
    return std::uniform_int_distribution<uint32_t>(0, most)(random);
  };
  for (auto& queue : queues_) queue->send_limit = queue->punt_limit = up_to;

  uint64_t received = 0;
  for (int round = 0; round < 2000; ++round) {
    core::Burst burst =
        ReceiveNumbered(static_cast<core::PortId>(up_to(kPorts - 1)), up_to(core::kBurstCapacity));
    for (uint32_t i = 0; i < burst.count; ++i) {
      burst.verdict[i] = static_cast<Verdict>(up_to(net::kVerdictCount - 1));
      burst.out_port[i] = static_cast<core::PortId>(up_to(kPorts));  // one too many
      if (net::InfoOf(burst.verdict[i]).is_drop && up_to(1) != 0) burst.answered |= 1u << i;
    }
    if (round % 4 == 0) {  // as most bursts are
      burst.verdict.fill(Verdict::kForwarded);
      burst.out_port.fill(static_cast<core::PortId>(up_to(kPorts)));
      burst.answered = 0;
    }
    received += burst.count;
    Dispatch(burst, ports_, nullptr, state_);

    ASSERT_EQ(CountAll(), received);
    ASSERT_EQ(ledger_.lent(), 0u) << "a buffer was lost";
  }
  const uint64_t answers = counters_.icmp_errors_sent.value();
  EXPECT_EQ(Count(Verdict::kForwarded) + answers, CountOut(&MemoryPortQueue::wire_out));
  EXPECT_GT(answers, 0u);
  EXPECT_EQ(Count(Verdict::kPunted), CountOut(&MemoryPortQueue::kernel_out));
  EXPECT_GT(Count(Verdict::kForwarded), 0u);
  EXPECT_GT(Count(Verdict::kPunted), 0u);
  EXPECT_GT(Count(Verdict::kTransmitQueueFull), Count(Verdict::kNoBackend));
  EXPECT_GT(Count(Verdict::kPuntQueueFull), Count(Verdict::kNoBackend));
}

// Frames that are enough of IPv4 to be cut, in a burst with others.
TEST_F(DispatchTest, FragmentsAreOnePacketWhateverIsRefused) {
  std::mt19937 random(1);
  const auto up_to = [&](uint32_t most) {
    return std::uniform_int_distribution<uint32_t>(0, most)(random);
  };
  for (auto& queue : queues_) {
    queue->send_limit = queue->punt_limit = up_to;
    queue->allocates = [&](uint32_t) { return up_to(3) != 0; };
  }
  uint64_t received = 0;
  for (int round = 0; round < 2000; ++round) {
    core::Burst burst =
        ReceiveNumbered(static_cast<core::PortId>(up_to(kPorts - 1)), up_to(core::kBurstCapacity));
    for (uint32_t i = 0; i < burst.count; ++i) {
      if (up_to(1) == 0) {
        burst.packet[i].data[12] = 0x08;
        burst.packet[i].data[13] = 0x00;
        burst.packet[i].data[14] = 0x45;
        burst.LeaveInFragments(i, static_cast<uint16_t>(up_to(60)));
      }
      burst.verdict[i] = static_cast<Verdict>(up_to(3));  // forwarded, punted, two others
      burst.out_port[i] = static_cast<core::PortId>(up_to(kPorts));
    }
    received += burst.count;
    Dispatch(burst, ports_, nullptr, state_);
    ASSERT_EQ(CountAll(), received);
    ASSERT_EQ(ledger_.lent(), 0u) << "a buffer was lost";
  }
  EXPECT_GT(Count(Verdict::kForwarded), 0u);
  EXPECT_GT(Count(Verdict::kPacketTooBig), 0u) << "no room for a header";
  EXPECT_GT(counters_.fragments_sent.value(), 0u);
}

TEST_F(DispatchTest, OrderWithinAPortIsKept) {
  core::Burst burst = ReceiveNumbered(0, 32);
  for (uint32_t i = 0; i < burst.count; ++i) {
    burst.verdict[i] = Verdict::kForwarded;
    burst.out_port[i] = static_cast<core::PortId>(i * 7 % kPorts);
  }
  Dispatch(burst, ports_, nullptr, state_);
  size_t sent = 0;
  for (const auto& queue : queues_) {
    EXPECT_TRUE(std::is_sorted(queue->wire_out.begin(), queue->wire_out.end()));
    sent += queue->wire_out.size();
  }
  EXPECT_EQ(sent, 32u);
}

TEST_F(DispatchTest, PacketsAreSentAsTheirViewsStand) {
  core::Burst burst = ReceiveNumbered(0, 1);
  burst.verdict[0] = Verdict::kForwarded;
  burst.out_port[0] = 1;
  burst.packet[0].data -= 12;
  burst.packet[0].length += 12;
  burst.packet[0].data[0] = 0xab;
  Dispatch(burst, ports_, nullptr, state_);
  ASSERT_EQ(queues_[1]->wire_out.size(), 1u);
  EXPECT_EQ(queues_[1]->wire_out[0].size(), 76u);
  EXPECT_EQ(queues_[1]->wire_out[0][0], 0xab);
}

TEST_F(DispatchTest, PuntsGoToTheTwinOfThePortTheyCameFrom) {
  core::Burst burst = ReceiveNumbered(2, 3);
  std::fill_n(burst.verdict.begin(), 3, Verdict::kPunted);
  std::fill_n(burst.out_port.begin(), 3, core::PortId{0});
  Dispatch(burst, ports_, nullptr, state_);
  EXPECT_EQ(queues_[2]->kernel_out.size(), 3u);
}

TEST_F(DispatchTest, AnswersAreSentUnderTheVerdictOfWhatTheyAnswer) {
  core::Burst burst = ReceiveNumbered(0, 4);
  const std::array verdicts = {Verdict::kPacketTooBig, Verdict::kForwarded, Verdict::kTtlExceeded,
                               Verdict::kPacketTooBig};
  std::copy(verdicts.begin(), verdicts.end(), burst.verdict.begin());
  std::fill_n(burst.out_port.begin(), 4, core::PortId{1});
  burst.answered = 0b0101;  // the last one is not
  Dispatch(burst, ports_, nullptr, state_);
  ASSERT_EQ(queues_[1]->wire_out.size(), 3u);
  EXPECT_TRUE(std::is_sorted(queues_[1]->wire_out.begin(), queues_[1]->wire_out.end()));
  EXPECT_EQ(Count(Verdict::kPacketTooBig), 2u);
  EXPECT_EQ(Count(Verdict::kTtlExceeded), 1u);
  EXPECT_EQ(Count(Verdict::kForwarded), 1u);
  EXPECT_EQ(counters_.icmp_errors_sent.value(), 2u);
  EXPECT_EQ(queues_[0]->released, 1u);
}

TEST_F(DispatchTest, AnAnswerThatThePortDoesNotTakeIsNone) {
  queues_[0]->send_limit = [](uint32_t) { return 0u; };
  core::Burst burst = ReceiveNumbered(0, 1);
  burst.verdict[0] = Verdict::kTtlExceeded;
  burst.out_port[0] = 0;
  burst.answered = 1;
  Dispatch(burst, ports_, nullptr, state_);
  EXPECT_EQ(Count(Verdict::kTtlExceeded), 1u);
  EXPECT_EQ(Count(Verdict::kTransmitQueueFull), 0u);
  EXPECT_EQ(counters_.icmp_errors_sent.value(), 0u);
  EXPECT_EQ(burst.answered, 0u);
  EXPECT_EQ(queues_[0]->released, 1u);
}

TEST_F(DispatchTest, APortThatDoesNotExistIsNoRoute) {
  core::Burst burst = ReceiveNumbered(0, 1);
  burst.verdict[0] = Verdict::kForwarded;
  burst.out_port[0] = kPorts;
  Dispatch(burst, ports_, nullptr, state_);
  EXPECT_EQ(Count(Verdict::kNoRoute), 1u);
  EXPECT_EQ(queues_[0]->released, 1u);
}

}  // namespace
}  // namespace steelyard::worker
