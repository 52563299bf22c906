// SPDX-License-Identifier: Apache-2.0
//
// EthernetPort and DpdkPortQueue over DPDK's ring device, which receives what it sends.
#include "dpdk/port.h"

#include <gtest/gtest.h>
#include <rte_config.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <numeric>

#include "dpdk/test_environment.h"

namespace steelyard::dpdk {
namespace {

class PortTest : public testing::Test {
 protected:
  explicit PortTest(uint16_t worker_count = 1, uint16_t queues = 0)
      : pool_(TestPool()), in_use_before_(rte_mempool_in_use_count(pool_)) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sockets_), 0);
    path_ = std::move(*KernelPath::Create(pool_));
    std::vector<KernelChannel*> channels;
    for (uint16_t i = 0; i < worker_count; ++i)
      channels.push_back(*path_->AddChannel(i == 0 ? sockets_[0] : dup(sockets_[0])));
    static int device_number = 0;  // each test has a device of its own
    const std::string device = "net_ring" + std::to_string(device_number++);
    PortSpec spec = *ParsePortSpec("vdev:" + device, 0);
    spec.queues = queues;
    auto port = EthernetPort::Open(spec, 3, "twin3", worker_count);
    EXPECT_TRUE(port) << port.error().message;
    port_ = std::move(*port);
    const net::Status started = port_->Start(MbufPools(pool_), channels, 128);
    EXPECT_TRUE(started) << started.error().message;
  }

  ~PortTest() override {
    port_.reset();
    path_.reset();
    close(sockets_[0]);
    close(sockets_[1]);
    EXPECT_EQ(rte_mempool_in_use_count(pool_), in_use_before_) << "a buffer was lost";
  }

  worker::PortQueue& queue() { return port_->queue(0); }

  // Puts `count` frames of 60 bytes, each full of its position, where the port will receive them.
  void Feed(uint32_t count, bool scattered = false) {
    for (uint32_t i = 0; i < count; ++i) {
      rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
      std::memset(rte_pktmbuf_append(packet, 60), static_cast<int>(i), 60);
      if (scattered) {
        rte_mbuf* second = rte_pktmbuf_alloc(pool_);
        rte_pktmbuf_append(second, 60);
        rte_pktmbuf_chain(packet, second);
      }
      uint16_t device_id;
      ASSERT_EQ(rte_eth_dev_get_port_by_name(port_->info().name.c_str(), &device_id), 0);
      ASSERT_EQ(rte_eth_tx_burst(device_id, 0, &packet, 1), 1);
    }
  }

  static std::vector<uint8_t> AllOf(const core::Burst& burst) {
    std::vector<uint8_t> indices(burst.count);
    std::iota(indices.begin(), indices.end(), uint8_t{0});
    return indices;
  }

  rte_mempool* const pool_;
  const unsigned in_use_before_;
  int sockets_[2];
  std::unique_ptr<KernelPath> path_;
  std::unique_ptr<EthernetPort> port_;
  core::Burst burst_;
};

TEST_F(PortTest, SaysWhatItIs) {
  EXPECT_EQ(port_->info().id, 3);
  EXPECT_EQ(port_->info().driver, "net_ring");
  EXPECT_EQ(port_->info().kernel_interface, "twin3");
  EXPECT_EQ(port_->info().mtu, 1500u);
  EXPECT_FALSE(port_->info().mac.IsZero());
  EXPECT_FALSE(port_->info().mac.IsGroup());
  EXPECT_FALSE(port_->info().steers_in_hardware);
  EXPECT_EQ(port_->info().steering_reason, "one worker");
}

TEST_F(PortTest, ReceivesBurstsOfViews) {
  Feed(40);
  queue().Receive(burst_);
  ASSERT_EQ(burst_.count, core::kBurstCapacity);
  EXPECT_EQ(burst_.in_port, 3);
  for (uint32_t i = 0; i < burst_.count; ++i) {
    EXPECT_EQ(burst_.packet[i].length, 60u);
    EXPECT_EQ(burst_.packet[i].headroom, uint32_t{RTE_PKTMBUF_HEADROOM});
    EXPECT_EQ(burst_.packet[i].data[59], i);
  }
  queue().Release(burst_, AllOf(burst_));
  queue().Receive(burst_);
  EXPECT_EQ(burst_.count, 8u);
  queue().Release(burst_, AllOf(burst_));
  queue().Receive(burst_);
  EXPECT_EQ(burst_.count, 0u);
}

TEST_F(PortTest, SendsPacketsAsTheirViewsStand) {
  Feed(2);
  queue().Receive(burst_);
  ASSERT_EQ(burst_.count, 2u);
  burst_.packet[1].data -= 12;
  burst_.packet[1].headroom -= 12;
  burst_.packet[1].length += 12;
  burst_.packet[1].data[0] = 0xab;
  EXPECT_EQ(queue().Send(burst_, AllOf(burst_)), 2u);
  queue().Receive(burst_);
  ASSERT_EQ(burst_.count, 2u);
  EXPECT_EQ(burst_.packet[0].length, 60u);
  EXPECT_EQ(burst_.packet[1].length, 72u);
  EXPECT_EQ(burst_.packet[1].headroom, uint32_t{RTE_PKTMBUF_HEADROOM} - 12);
  EXPECT_EQ(burst_.packet[1].data[0], 0xab);
  queue().Release(burst_, AllOf(burst_));
}

TEST_F(PortTest, WhatIsScatteredIsCountedAndNeverSeen) {
  Feed(3, true);
  Feed(1);
  queue().Receive(burst_);
  EXPECT_EQ(burst_.count, 1u);
  EXPECT_EQ(port_->ReadStats().receive_errors, 3u);
  queue().Release(burst_, AllOf(burst_));
}

TEST_F(PortTest, PuntsReachTheTwinAndItsFramesLeaveByThePort) {
  path_->Start();
  Feed(1);
  queue().Receive(burst_);
  ASSERT_EQ(burst_.count, 1u);
  ASSERT_EQ(queue().Punt(burst_, AllOf(burst_)), 1u);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  char frame[128];
  while (read(sockets_[1], frame, sizeof frame) != 60)
    ASSERT_LT(std::chrono::steady_clock::now(), give_up);

  ASSERT_EQ(write(sockets_[1], frame, 60), 60);
  worker::PortQueue::FromKernel moved;
  while (moved.received == 0 && std::chrono::steady_clock::now() < give_up)
    moved = queue().SendFromKernel();
  EXPECT_EQ(moved.received, 1u);
  EXPECT_EQ(moved.dropped, 0u);
  queue().Receive(burst_);
  EXPECT_EQ(burst_.count, 1u);
  queue().Release(burst_, AllOf(burst_));
}

class PortOfFewQueuesTest : public PortTest {
 protected:
  static constexpr uint16_t kWorkers = 4;
  PortOfFewQueuesTest() : PortTest(kWorkers, 1) {}
};

TEST_F(PortOfFewQueuesTest, WorkersWithoutAQueueReceiveNothingAndSendByAnothers) {
  for (uint16_t worker = 1; worker < kWorkers; ++worker) {
    Feed(3);
    worker::PortQueue& without_queue = port_->queue(worker);
    without_queue.Receive(burst_);
    ASSERT_EQ(burst_.count, 0u);
    queue().Receive(burst_);
    ASSERT_EQ(burst_.count, 3u);
    ASSERT_EQ(without_queue.Send(burst_, AllOf(burst_)), 3u);
    queue().Receive(burst_);
    ASSERT_EQ(burst_.count, 0u) << "not yet";
    queue().SendRelayed();
    queue().Receive(burst_);
    ASSERT_EQ(burst_.count, 3u);
    queue().Release(burst_, AllOf(burst_));
  }
}

TEST_F(PortOfFewQueuesTest, WhatIsRelayedIsNeitherLostNorReordered) {
  uint16_t device_id;
  ASSERT_EQ(rte_eth_dev_get_port_by_name(port_->info().name.c_str(), &device_id), 0);
  uint32_t put = 0;
  for (uint32_t round = 0; round < 60; ++round) {
    burst_.count = 32;
    ASSERT_TRUE(queue().Allocate(burst_));
    for (uint32_t i = 0; i < 32; ++i) burst_.packet[i].length = 60 + (put + i) % 1000;
    const uint32_t taken = port_->queue(1).Send(burst_, AllOf(burst_));
    const std::vector<uint8_t> all = AllOf(burst_);
    queue().Release(burst_, std::span(all).subspan(taken));
    put += taken;
  }
  EXPECT_EQ(put, Relay::kRingCapacity) << "then it is full, and says so";
  uint32_t seen = 0;
  for (uint32_t round = 0; round < 100; ++round) {
    queue().SendRelayed();
    queue().Receive(burst_);
    for (uint32_t i = 0; i < burst_.count; ++i)
      EXPECT_EQ(burst_.packet[i].length, 60 + (seen + i) % 1000);
    seen += burst_.count;
    queue().Release(burst_, AllOf(burst_));
  }
  EXPECT_EQ(seen, put);
}

TEST_F(PortTest, AMissingDeviceIsAnErrorThatQuotesThePort) {
  const auto port = EthernetPort::Open(*ParsePortSpec("vdev:net_nothing0", 0), 0, "twin0", 1);
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().message.find("vdev:net_nothing0"), std::string::npos);
}

}  // namespace
}  // namespace steelyard::dpdk
