// SPDX-License-Identifier: Apache-2.0
#include "dpdk/mbuf_pool.h"

#include <gtest/gtest.h>
#include <rte_config.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <set>
#include <vector>

#include "dpdk/test_environment.h"

namespace steelyard::dpdk {
namespace {

TEST(MbufPool, RoomHoldsAFrameAndIsAPowerOfTwo) {
  for (const uint32_t mtu : {68u, 1280u, 1500u, 1800u, 2000u, 9000u}) {
    const uint32_t room = FrameRoom(mtu);
    EXPECT_GE(room, mtu + 14 + 2 * 4);
    EXPECT_EQ(room & (room - 1), 0u);
  }
}

TEST(MbufPool, BuffersAreContiguousAndHaveHeadroom) {
  rte_mbuf* packet = rte_pktmbuf_alloc(TestPool());
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(rte_pktmbuf_headroom(packet), RTE_PKTMBUF_HEADROOM);
  EXPECT_GE(rte_pktmbuf_tailroom(packet), FrameRoom(1500));
  rte_pktmbuf_free(packet);
}

// Regression: with small pages every buffer began a page of its own, and the AF_XDP driver told the
// kernel of the front half of the pool only.
TEST(MbufPool, IsPackedWithoutGaps) {
  std::set<const char*> buffers;
  const auto collect = [](rte_mempool*, void* set, void* buffer, unsigned) {
    static_cast<std::set<const char*>*>(set)->insert(static_cast<const char*>(buffer));
  };
  rte_mempool_obj_iter(TestPool(), collect, &buffers);
  const size_t span = static_cast<size_t>(*buffers.rbegin() - *buffers.begin());
  const uint32_t buffer_bytes =
      rte_mempool_calc_obj_size(TestPool()->elt_size, TestPool()->flags, nullptr);
  EXPECT_EQ(span, (buffers.size() - 1) * buffer_bytes);
}

// Regression: the buffers of a pool that need not be contiguous had no bus addresses, so a PCI
// device read what it was to send at address 0.
TEST(MbufPool, EveryBufferIsWhereTheBusFindsIt) {
  ASSERT_EQ(rte_eal_iova_mode(), RTE_IOVA_VA);
  unsigned wrong = 0;
  const auto count = [](rte_mempool*, void* sum, void* buffer, unsigned) {
    const auto* packet = static_cast<const rte_mbuf*>(buffer);
    if (rte_mbuf_iova_get(packet) != reinterpret_cast<rte_iova_t>(packet->buf_addr))
      ++*static_cast<unsigned*>(sum);
  };
  rte_mempool_obj_iter(TestPool(), count, &wrong);
  EXPECT_EQ(wrong, 0u);
}

TEST(MbufPool, TooMuchIsAnErrorThatSaysWhatToDo) {
  TestPool();
  const auto pool = CreateMbufPool(10'000'000, 1500);
  ASSERT_FALSE(pool);
  EXPECT_NE(pool.error().message.find("--memory-mib"), std::string::npos);
  EXPECT_FALSE(CreateMbufPool(1, 65'500));
}

// --- several nodes -----------------------------------------------------------------------------

using Plans = std::vector<MbufPoolPlan>;

TEST(MbufPools, OneNodeMeansOnePoolForEverything) {
  const std::vector<BufferDemand> unknown = {{-1, 100, 10}, {-1, 200, 20}};
  EXPECT_EQ(PlanMbufPools(unknown), (Plans{{kAnyNode, 330}}));
  const std::vector<BufferDemand> known = {{0, 100, 10}, {0, 200, 20}};
  EXPECT_EQ(PlanMbufPools(known), (Plans{{0, 330}}));
}

TEST(MbufPools, EachNodeReceivesIntoItsOwn) {
  const std::vector<BufferDemand> ports = {{1, 100, 1}, {0, 200, 2}, {1, 400, 4}};
  EXPECT_EQ(PlanMbufPools(ports), (Plans{{1, 507}, {0, 207}}));
}

TEST(MbufPools, PortsOfUnknownNodeReceiveIntoTheFirst) {
  const std::vector<BufferDemand> ports = {{-1, 100, 1}, {1, 200, 2}, {0, 400, 4}};
  EXPECT_EQ(PlanMbufPools(ports), (Plans{{1, 307}, {0, 407}}));
}

TEST(MbufPools, ArePlannedAndFoundByNode) {
  TestPool();
  const std::vector<BufferDemand> ports = {{0, 3000, 10}, {1, 2000, 10}};
  const net::Result<MbufPools> pools = MbufPools::Create(ports, 1500);
  ASSERT_TRUE(pools) << pools.error().message;
  EXPECT_EQ(pools->count(), 2u);
  EXPECT_EQ(pools->Near(0)->size, 3020u);
  EXPECT_EQ(pools->Near(1)->size, 2020u);
  EXPECT_EQ(pools->Near(kAnyNode), pools->Near(0));
  EXPECT_EQ(pools->Near(2), pools->Near(0));
}

}  // namespace
}  // namespace steelyard::dpdk
