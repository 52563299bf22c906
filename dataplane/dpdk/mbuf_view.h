// SPDX-License-Identifier: Apache-2.0
//
// The one place where an mbuf becomes a packet view and back. Only dpdk/'s sources include it.
#pragma once

#include <rte_config.h>
#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <span>

#include "core/burst.h"

namespace steelyard::dpdk {

using MbufBurst = std::array<rte_mbuf*, core::kBurstCapacity>;

inline net::Packet ViewOf(rte_mbuf* mbuf) {
  return {.data = rte_pktmbuf_mtod(mbuf, uint8_t*),
          .length = mbuf->pkt_len,
          .headroom = mbuf->data_off};
}

inline void WriteBack(const net::Packet& packet, rte_mbuf* mbuf) {
  mbuf->data_off = static_cast<uint16_t>(packet.data - static_cast<uint8_t*>(mbuf->buf_addr));
  mbuf->data_len = static_cast<uint16_t>(packet.length);
  mbuf->pkt_len = packet.length;
}

// The buffers of those packets, which show what the views do.
inline uint16_t Collect(const core::Burst& burst, std::span<const uint8_t> indices,
                        MbufBurst& mbufs) {
  uint16_t count = 0;
  for (const uint8_t index : indices) {
    auto* mbuf = static_cast<rte_mbuf*>(burst.buffer[index]);
    WriteBack(burst.packet[index], mbuf);
    mbufs[count++] = mbuf;
  }
  return count;
}

// As worker::PortQueue::Allocate and Release.
inline bool AllocateFrom(rte_mempool* pool, core::Burst& burst) {
  MbufBurst mbufs;
  if (rte_pktmbuf_alloc_bulk(pool, mbufs.data(), burst.count) != 0) return false;
  for (uint32_t i = 0; i < burst.count; ++i) {
    burst.packet[i] = ViewOf(mbufs[i]);
    burst.buffer[i] = mbufs[i];
  }
  return true;
}

inline void ReleaseAll(const core::Burst& burst, std::span<const uint8_t> indices) {
  MbufBurst mbufs;
  const uint16_t count = Collect(burst, indices, mbufs);
  rte_pktmbuf_free_bulk(mbufs.data(), count);
}

}  // namespace steelyard::dpdk
