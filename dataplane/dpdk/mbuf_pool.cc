// SPDX-License-Identifier: Apache-2.0
#include "dpdk/mbuf_pool.h"

#include <rte_config.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

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

}  // namespace

uint32_t FrameRoom(uint32_t mtu) {
  return std::bit_ceil(std::max(mtu + kFrameOverhead, 2048u));
}

net::Result<rte_mempool*> CreateMbufPool(uint32_t count, uint32_t mtu) {
  const uint32_t room = RTE_PKTMBUF_HEADROOM + FrameRoom(mtu);
  if (room > UINT16_MAX)
    return net::Error{"an MTU of " + std::to_string(mtu) + " is more than a packet buffer holds"};
  rte_mempool* pool = rte_pktmbuf_pool_create_by_ops("packets", count, kCachedPerCore, 0,
                                                     static_cast<uint16_t>(room), SOCKET_ID_ANY,
                                                     kPreemptionSafeOps);
  if (pool == nullptr) {
    return net::Error{"no memory for " + std::to_string(count) + " packet buffers of " +
                      std::to_string(room) + " bytes (" + rte_strerror(rte_errno) +
                      "): give more with --memory-mib"};
  }
  return pool;
}

}  // namespace steelyard::dpdk
