// SPDX-License-Identifier: Apache-2.0
//
// The packet buffers of the process: one pool for all ports, workers and the kernel path, so that a
// packet moves between them without a copy. A packet is one contiguous buffer, always.
#pragma once

#include <cstdint>

#include "net/result.h"

struct rte_mempool;

namespace steelyard::dpdk {

// Bytes that a frame of a port with this MTU may need, link-layer header and VLAN tags included, as
// a power of two because packet socket rings want one.
uint32_t FrameRoom(uint32_t mtu);

// Buffers for `count` packets that hold a frame of a port with `mtu`. Lives as long as the
// environment.
net::Result<rte_mempool*> CreateMbufPool(uint32_t count, uint32_t mtu);

}  // namespace steelyard::dpdk
