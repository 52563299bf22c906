// SPDX-License-Identifier: Apache-2.0
#include "dpdk/mbuf_pool.h"

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_memory.h>
#include <rte_mempool.h>

#include <algorithm>
#include <bit>
#include <string>

namespace steelyard::dpdk {
namespace {

// A Ethernet header with two VLAN tags, and what a packet socket puts in front of a frame.
constexpr uint32_t kFrameOverhead = 160;
constexpr uint32_t kCachedPerCore = 256;

// The kernel path is a thread that the scheduler may stop anywhere, and it takes from and gives to
// the same pool as workers. With relaxed tail synchronisation nobody waits for a thread that was
// stopped half-way.
constexpr char kPreemptionSafeOps[] = "ring_mt_rts";

bool BusAddressesAreVirtual() {
  return rte_eal_iova_mode() == RTE_IOVA_VA;
}

// A pool that need not be contiguous has no bus addresses for its buffers to take theirs from.
void InitialiseBuffer(rte_mempool* pool, void* argument, void* buffer, unsigned index) {
  rte_pktmbuf_init(pool, argument, buffer, index);
  auto* packet = static_cast<rte_mbuf*>(buffer);
  if (BusAddressesAreVirtual())
    rte_mbuf_iova_set(packet, reinterpret_cast<rte_iova_t>(packet->buf_addr));
}

// As rte_pktmbuf_pool_create does it, but for the flags: where bus addresses are virtual ones, a
// buffer may lie across a page's end. Otherwise, with small pages, every buffer begins a page of
// its own, and the AF_XDP driver, which takes the pool for packed, registers only the front of it
// with the kernel.
rte_mempool* CreatePool(uint32_t count, uint32_t room, const std::string& name, int numa_node) {
  const unsigned flags = BusAddressesAreVirtual() ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0;
  rte_mempool* pool =
      rte_mempool_create_empty(name.c_str(), count, static_cast<unsigned>(sizeof(rte_mbuf)) + room,
                               kCachedPerCore, sizeof(rte_pktmbuf_pool_private), numa_node, flags);
  if (pool == nullptr) return nullptr;
  rte_pktmbuf_pool_private settings{.mbuf_data_room_size = static_cast<uint16_t>(room),
                                    .mbuf_priv_size = 0};
  if (rte_mempool_set_ops_byname(pool, kPreemptionSafeOps, nullptr) == 0) {
    rte_pktmbuf_pool_init(pool, &settings);
    if (rte_mempool_populate_default(pool) >= 0) {
      rte_mempool_obj_iter(pool, InitialiseBuffer, nullptr);
      return pool;
    }
  }
  rte_mempool_free(pool);
  return nullptr;
}

}  // namespace

uint32_t FrameRoom(uint32_t mtu) {
  return std::bit_ceil(std::max(mtu + kFrameOverhead, 2048u));
}

std::vector<MbufPoolPlan> PlanMbufPools(std::span<const BufferDemand> ports) {
  std::vector<MbufPoolPlan> plans;
  const auto plan_of = [&](int node) {
    return std::ranges::find(plans, node, &MbufPoolPlan::numa_node);
  };
  for (const BufferDemand& port : ports)
    if (port.numa_node >= 0 && plan_of(port.numa_node) == plans.end())
      plans.push_back({port.numa_node, 0});
  if (plans.empty()) plans.push_back({kAnyNode, 0});
  for (const BufferDemand& port : ports) {
    const auto own = plan_of(port.numa_node);
    (own == plans.end() ? plans.front() : *own).buffers += port.receiving;
    for (MbufPoolPlan& plan : plans) plan.buffers += port.leaving;
  }
  return plans;
}

net::Result<rte_mempool*> CreateMbufPool(uint32_t count, uint32_t mtu, int numa_node) {
  const uint32_t room = RTE_PKTMBUF_HEADROOM + FrameRoom(mtu);
  if (room > UINT16_MAX)
    return net::Error{"an MTU of " + std::to_string(mtu) + " is more than a packet buffer holds"};
  const std::string name =
      numa_node == kAnyNode ? "packets" : "packets_of_node" + std::to_string(numa_node);
  rte_mempool* pool = CreatePool(count, room, name, numa_node);
  if (pool == nullptr && numa_node != kAnyNode) pool = CreatePool(count, room, name, kAnyNode);
  if (pool == nullptr) {
    return net::Error{"no memory for " + std::to_string(count) + " packet buffers of " +
                      std::to_string(room) + " bytes (" + rte_strerror(rte_errno) +
                      "): give more with --memory-mib"};
  }
  return pool;
}

int NodeOfBuffers(const rte_mempool& pool) {
  if (rte_eal_has_hugepages() == 0) return -1;
  const rte_memseg* pages = rte_mem_virt2memseg(STAILQ_FIRST(&pool.mem_list)->addr, nullptr);
  return pages == nullptr ? -1 : pages->socket_id;
}

net::Result<MbufPools> MbufPools::Create(std::span<const BufferDemand> ports, uint32_t mtu) {
  MbufPools pools;
  for (const MbufPoolPlan& plan : PlanMbufPools(ports)) {
    const net::Result<rte_mempool*> pool = CreateMbufPool(plan.buffers, mtu, plan.numa_node);
    if (!pool) return pool.error();
    pools.pools_.push_back({plan.numa_node, *pool});
  }
  return pools;
}

rte_mempool* MbufPools::Near(int numa_node) const {
  const auto near = std::ranges::find(pools_, numa_node, &Pool::numa_node);
  return near == pools_.end() ? pools_.front().buffers : near->buffers;
}

}  // namespace steelyard::dpdk
