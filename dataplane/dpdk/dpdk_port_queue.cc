// SPDX-License-Identifier: Apache-2.0
#include "dpdk/dpdk_port_queue.h"

#include <rte_config.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <array>

namespace steelyard::dpdk {
namespace {

using MbufBurst = std::array<rte_mbuf*, core::kBurstCapacity>;

net::Packet ViewOf(rte_mbuf* mbuf) {
  return {.data = rte_pktmbuf_mtod(mbuf, uint8_t*),
          .length = mbuf->pkt_len,
          .headroom = mbuf->data_off};
}

void WriteBack(const net::Packet& packet, rte_mbuf* mbuf) {
  mbuf->data_off = static_cast<uint16_t>(packet.data - static_cast<uint8_t*>(mbuf->buf_addr));
  mbuf->data_len = static_cast<uint16_t>(packet.length);
  mbuf->pkt_len = packet.length;
}

uint16_t Collect(const core::Burst& burst, std::span<const uint8_t> indices, MbufBurst& mbufs) {
  uint16_t count = 0;
  for (const uint8_t index : indices) {
    auto* mbuf = static_cast<rte_mbuf*>(burst.buffer[index]);
    WriteBack(burst.packet[index], mbuf);
    mbufs[count++] = mbuf;
  }
  return count;
}

}  // namespace

void DpdkPortQueue::Receive(core::Burst& burst) {
  MbufBurst mbufs;
  const uint16_t received =
      rte_eth_rx_burst(device_id_, queue_, mbufs.data(), core::kBurstCapacity);
  burst.in_port = port_id_;
  uint32_t count = 0;
  for (uint16_t i = 0; i < received; ++i) {
    if (mbufs[i]->nb_segs != 1) [[unlikely]] {
      scattered_packets_.Add(1);
      rte_pktmbuf_free(mbufs[i]);
      continue;
    }
    burst.packet[count] = ViewOf(mbufs[i]);
    burst.buffer[count] = mbufs[i];
    rte_prefetch0(burst.packet[count].data);
    ++count;
  }
  burst.count = count;
}

uint32_t DpdkPortQueue::Send(const core::Burst& burst, std::span<const uint8_t> indices) {
  MbufBurst mbufs;
  const uint16_t count = Collect(burst, indices, mbufs);
  return rte_eth_tx_burst(device_id_, queue_, mbufs.data(), count);
}

uint32_t DpdkPortQueue::Punt(const core::Burst& burst, std::span<const uint8_t> indices) {
  MbufBurst mbufs;
  const uint16_t count = Collect(burst, indices, mbufs);
  return channel_.Punt(mbufs.data(), count);
}

bool DpdkPortQueue::Allocate(core::Burst& burst) {
  MbufBurst mbufs;
  if (rte_pktmbuf_alloc_bulk(pool_, mbufs.data(), burst.count) != 0) return false;
  for (uint32_t i = 0; i < burst.count; ++i) {
    burst.packet[i] = ViewOf(mbufs[i]);
    burst.buffer[i] = mbufs[i];
  }
  return true;
}

void DpdkPortQueue::Release(const core::Burst& burst, std::span<const uint8_t> indices) {
  MbufBurst mbufs;
  const uint16_t count = Collect(burst, indices, mbufs);
  rte_pktmbuf_free_bulk(mbufs.data(), count);
}

worker::PortQueue::FromKernel DpdkPortQueue::SendFromKernel() {
  MbufBurst mbufs;
  const auto received = static_cast<uint16_t>(channel_.Receive(mbufs.data(), core::kBurstCapacity));
  if (received == 0) return {};
  const uint16_t sent = rte_eth_tx_burst(device_id_, queue_, mbufs.data(), received);
  rte_pktmbuf_free_bulk(mbufs.data() + sent, received - sent);
  return {.received = received, .dropped = static_cast<uint32_t>(received - sent)};
}

}  // namespace steelyard::dpdk
