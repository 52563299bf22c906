// SPDX-License-Identifier: Apache-2.0
#include "dpdk/dpdk_port_queue.h"

#include <rte_config.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "dpdk/mbuf_view.h"

namespace steelyard::dpdk {
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
    burst.steered[count] = steered_;
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
  return AllocateFrom(pool_, burst);
}

void DpdkPortQueue::Release(const core::Burst& burst, std::span<const uint8_t> indices) {
  ReleaseAll(burst, indices);
}

void DpdkPortQueue::SendRelayed() {
  for (Relay* relay : relays_) relay->SendTo(device_id_, queue_);
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
