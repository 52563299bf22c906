// SPDX-License-Identifier: Apache-2.0
//
// The packet buffers of the process: a pool for each NUMA node that ports are on, so a single one
// on most machines. Ports, workers and the kernel path hand buffers of any pool to each other, and
// who frees one gives it back to its own. (The AF_XDP driver copies what is not of its port's pool;
// such ports share one.) A packet is one contiguous buffer, always.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "net/result.h"

struct rte_mempool;

namespace steelyard::dpdk {

// Bytes that a frame of a port with this MTU may need, link-layer header and VLAN tags included, as
// a power of two because packet socket rings want one.
uint32_t FrameRoom(uint32_t mtu);

// Buffers that a port with its channels and relays may hold at once.
struct BufferDemand {
  int numa_node;       // below 0: unknown
  uint32_t receiving;  // of its own pool
  uint32_t leaving;    // of any
};

inline constexpr int kAnyNode = -1;

struct MbufPoolPlan {
  int numa_node;  // or kAnyNode
  uint32_t buffers;
  bool operator==(const MbufPoolPlan&) const = default;
};

// A pool for each node, in the order of ports; ports of unknown node receive into the first. Every
// packet that leaves may be of the same pool, so each has buffers for all of those: were one empty
// because another port keeps what it sent until it sends more, its ports would never receive again.
std::vector<MbufPoolPlan> PlanMbufPools(std::span<const BufferDemand> ports);

// Buffers for `count` packets that hold a frame of a port with `mtu`: on the node, or anywhere when
// it has no memory for them. Lives as long as the environment; one for each node.
net::Result<rte_mempool*> CreateMbufPool(uint32_t count, uint32_t mtu, int numa_node = kAnyNode);

// The node that its memory is on; below 0: unknown, as without huge pages.
int NodeOfBuffers(const rte_mempool& pool);

// Main thread only. Its pools outlive it.
class MbufPools {
 public:
  explicit MbufPools(rte_mempool* only) : pools_{{kAnyNode, only}} {}
  static net::Result<MbufPools> Create(std::span<const BufferDemand> ports, uint32_t mtu);

  // The first when none is planned for this node.
  rte_mempool* Near(int numa_node) const;
  size_t count() const { return pools_.size(); }

 private:
  struct Pool {
    int numa_node;
    rte_mempool* buffers;
  };
  MbufPools() = default;

  std::vector<Pool> pools_;
};

}  // namespace steelyard::dpdk
