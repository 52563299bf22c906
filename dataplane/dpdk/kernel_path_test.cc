// SPDX-License-Identifier: Apache-2.0
#include "dpdk/kernel_path.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <rte_config.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <optional>

#include "dpdk/test_environment.h"

namespace steelyard::dpdk {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

// A pair of datagram sockets stands for a twin: like a tap, a read gives one frame, a write takes
// one.
class KernelPathTest : public testing::Test {
 protected:
  KernelPathTest() : pool_(TestPool()), in_use_before_(rte_mempool_in_use_count(pool_)) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sockets_), 0);
    path_ = std::move(*KernelPath::Create(pool_));
    channel_ = *path_->AddChannel(sockets_[0]);
    path_->Start();
  }

  ~KernelPathTest() override {
    path_.reset();
    close(sockets_[0]);
    close(sockets_[1]);
    EXPECT_EQ(rte_mempool_in_use_count(pool_), in_use_before_) << "a buffer was lost";
  }

  rte_mbuf* Numbered(uint32_t number) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
    std::memcpy(rte_pktmbuf_append(packet, 60), &number, sizeof number);
    return packet;
  }

  // The next frame at the kernel's side.
  std::optional<uint32_t> ReadNumber() {
    pollfd readable{.fd = sockets_[1], .events = POLLIN, .revents = 0};
    if (poll(&readable, 1, 5000) != 1) return std::nullopt;
    uint32_t number = 0;
    char frame[128] = {};
    EXPECT_EQ(read(sockets_[1], frame, sizeof frame), 60);
    std::memcpy(&number, frame, sizeof number);
    return number;
  }

  // As a worker polls: until one comes.
  rte_mbuf* ReceiveOne() {
    const auto give_up = SteadyClock::now() + std::chrono::seconds(5);
    rte_mbuf* packet = nullptr;
    while (channel_->Receive(&packet, 1) == 0 && SteadyClock::now() < give_up)
      std::this_thread::yield();
    return packet;
  }

  rte_mempool* const pool_;
  const unsigned in_use_before_;
  int sockets_[2];
  std::unique_ptr<KernelPath> path_;
  KernelChannel* channel_ = nullptr;
};

TEST_F(KernelPathTest, PuntsArriveWholeAndInOrder) {
  for (uint32_t number = 0; number < 2000; ++number) {
    rte_mbuf* packet = Numbered(number);
    ASSERT_EQ(channel_->Punt(&packet, 1), 1u);
    ASSERT_EQ(ReadNumber(), number);
  }
}

// The sleeper may be anywhere on its way to sleep when the worker comes: no punt may be left lying.
TEST_F(KernelPathTest, APuntWakesTheSleepingThread) {
  for (uint32_t number = 0; number < 20; ++number) {
    std::this_thread::sleep_for(std::chrono::microseconds(900 + 20 * number));
    rte_mbuf* packet = Numbered(number);
    ASSERT_EQ(channel_->Punt(&packet, 1), 1u);
    ASSERT_EQ(ReadNumber(), number);
  }
}

TEST_F(KernelPathTest, WhatTheKernelSendsArrivesWholeAndInOrder) {
  for (uint32_t number = 0; number < 200; ++number) {
    char frame[60] = {};
    std::memcpy(frame, &number, sizeof number);
    ASSERT_EQ(write(sockets_[1], frame, sizeof frame), 60);
    rte_mbuf* packet = ReceiveOne();
    ASSERT_NE(packet, nullptr);
    EXPECT_EQ(rte_pktmbuf_pkt_len(packet), 60u);
    EXPECT_EQ(rte_pktmbuf_headroom(packet), RTE_PKTMBUF_HEADROOM);
    EXPECT_EQ(std::memcmp(rte_pktmbuf_mtod(packet, void*), &number, sizeof number), 0);
    rte_pktmbuf_free(packet);
  }
}

TEST_F(KernelPathTest, AFullRingRefusesAndLosesNothing) {
  path_->Stop();
  uint32_t taken = 0;
  rte_mbuf* packet = Numbered(0);
  while (channel_->Punt(&packet, 1) == 1) {
    ++taken;
    packet = Numbered(taken);
  }
  rte_pktmbuf_free(packet);
  EXPECT_EQ(taken, KernelPath::kRingCapacity);
}

TEST_F(KernelPathTest, WhatTheTwinRefusesIsCounted) {
  close(sockets_[1]);
  sockets_[1] = dup(sockets_[0]);  // nobody listens any more
  rte_mbuf* packet = Numbered(1);
  ASSERT_EQ(channel_->Punt(&packet, 1), 1u);
  const auto give_up = SteadyClock::now() + std::chrono::seconds(5);
  while (channel_->refused_packets() == 0 && SteadyClock::now() < give_up)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(channel_->refused_packets(), 1u);
}

}  // namespace
}  // namespace steelyard::dpdk
