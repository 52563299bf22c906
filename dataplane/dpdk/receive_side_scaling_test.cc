// SPDX-License-Identifier: Apache-2.0
//
// Receive-side scaling's judgement of devices, and its settings on DPDK's null device, which keeps
// key, hash functions and table as a NIC does. That a device then hashes is for test/guest.
#include "dpdk/receive_side_scaling.h"

#include <gtest/gtest.h>
#include <rte_config.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

#include "dpdk/test_environment.h"

namespace steelyard::dpdk {
namespace {

constexpr uint64_t kFlows = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
                            RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV6_UDP;

rte_eth_dev_info Nic() {
  rte_eth_dev_info nic{};
  nic.driver_name = "net_nic";
  nic.reta_size = 128;
  nic.hash_key_size = 40;
  nic.flow_type_rss_offloads = kFlows | RTE_ETH_RSS_IPV4;
  return nic;
}

TEST(WhyNotSteered, ANicWithAllItTakesIsTrusted) {
  EXPECT_EQ(WhyNotSteered(Nic(), true, 4, 4), "");
  rte_eth_dev_info wide = Nic();
  wide.hash_key_size = 52;
  wide.reta_size = 512;
  EXPECT_EQ(WhyNotSteered(wide, true, 16, 16), "");
  rte_eth_dev_info silent = Nic();
  silent.hash_key_size = 0;
  EXPECT_EQ(WhyNotSteered(silent, true, 4, 4), "");
}

TEST(WhyNotSteered, NamesWhatIsMissing) {
  const rte_eth_dev_info nic = Nic();
  EXPECT_EQ(WhyNotSteered(nic, true, 1, 1), "one worker");
  EXPECT_EQ(WhyNotSteered(nic, false, 4, 4),
            "net_nic is a virtual device, whose RSS need not hash");
  EXPECT_EQ(WhyNotSteered(nic, true, 16, 17), "fewer queues (16) than workers (17)");
  rte_eth_dev_info poor = nic;
  poor.flow_type_rss_offloads = 0;
  EXPECT_EQ(WhyNotSteered(poor, true, 4, 4), "net_nic has no RSS");
  poor = nic;
  poor.reta_size = 32;
  EXPECT_EQ(WhyNotSteered(poor, true, 4, 4), "its table has 32 entries");
  poor = nic;
  poor.hash_key_size = 16;
  EXPECT_EQ(WhyNotSteered(poor, true, 4, 4), "its key has 16 bytes");
}

// Regression: a device with receive queues for all workers and fewer to transmit was said to steer,
// though the flows of workers without a pair came to others.
TEST(WhyNotSteered, QueuesThatAreNotUsedDoNotCount) {
  EXPECT_EQ(WhyNotSteered(Nic(), true, 2, 4), "fewer queues (2) than workers (4)");
}

TEST(WhyNotSteered, EachKindOfFlowCounts) {
  for (const auto& [flag, flows] : {std::pair{RTE_ETH_RSS_NONFRAG_IPV4_TCP, "TCP over IPv4"},
                                    std::pair{RTE_ETH_RSS_NONFRAG_IPV4_UDP, "UDP over IPv4"},
                                    std::pair{RTE_ETH_RSS_NONFRAG_IPV6_TCP, "TCP over IPv6"},
                                    std::pair{RTE_ETH_RSS_NONFRAG_IPV6_UDP, "UDP over IPv6"}}) {
    rte_eth_dev_info poor = Nic();
    poor.flow_type_rss_offloads &= ~flag;
    EXPECT_EQ(WhyNotSteered(poor, true, 4, 4), std::string("net_nic does not hash ") + flows);
  }
}

// A device picks entry hash % entries: that entry must be one of the hash's bucket.
TEST(SteeringBuckets, DivideTheTable) {
  for (const uint32_t entries : {64u, 128u, 192u, 256u, 512u, 2048u}) {
    const uint32_t buckets = SteeringBucketsOf(entries);
    ASSERT_NE(buckets, 0u) << entries;
    EXPECT_EQ(entries % buckets, 0u) << entries;
  }
  EXPECT_EQ(SteeringBucketsOf(64), 64u);
  EXPECT_EQ(SteeringBucketsOf(512), 128u);
  for (const uint32_t entries : {0u, 1u, 32u, 96u, 100u}) EXPECT_EQ(SteeringBucketsOf(entries), 0u);
}

class NullDevice : public testing::Test {
 protected:
  NullDevice() {
    rte_mempool* pool = TestPool();
    EXPECT_EQ(rte_dev_probe("net_null9"), 0);
    EXPECT_EQ(rte_eth_dev_get_port_by_name("net_null9", &id_), 0);
    rte_eth_dev_info_get(id_, &info_);
    info_.flow_type_rss_offloads |= kFlows;
    scaling_.emplace(info_, kQueues, 64);
    rte_eth_conf configuration{};
    scaling_->Request(configuration);
    EXPECT_EQ(rte_eth_dev_configure(id_, kQueues, kQueues, &configuration), 0);
    for (uint16_t i = 0; i < kQueues; ++i) {
      EXPECT_EQ(rte_eth_rx_queue_setup(id_, i, 64, 0, nullptr, pool), 0);
      EXPECT_EQ(rte_eth_tx_queue_setup(id_, i, 64, 0, nullptr), 0);
    }
    EXPECT_EQ(rte_eth_dev_start(id_), 0);
  }
  ~NullDevice() override {
    rte_eth_dev_stop(id_);
    rte_eth_dev_close(id_);
  }

  static constexpr uint16_t kQueues = 3;
  uint16_t id_ = 0;
  rte_eth_dev_info info_;
  std::optional<ReceiveSideScaling> scaling_;
};

TEST_F(NullDevice, HasOurKeyAndTableAfterEachStart) {
  for (int start = 0; start < 2; ++start) {
    const net::Status status = scaling_->Enforce(id_);
    ASSERT_TRUE(status) << status.error().message;
    rte_eth_rss_reta_entry64 table[2] = {{.mask = UINT64_MAX}, {.mask = UINT64_MAX}};
    ASSERT_EQ(rte_eth_dev_rss_reta_query(id_, table, 128), 0);
    for (uint32_t i = 0; i < 128; ++i)
      EXPECT_EQ(table[i / 64].reta[i % 64], i % 64 % kQueues) << "entry " << i;
    ASSERT_EQ(rte_eth_dev_stop(id_), 0);
    ASSERT_EQ(rte_eth_dev_start(id_), 0);
  }
}

}  // namespace
}  // namespace steelyard::dpdk
