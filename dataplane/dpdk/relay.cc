// SPDX-License-Identifier: Apache-2.0
#include "dpdk/relay.h"

#include <rte_config.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include "dpdk/mbuf_view.h"

namespace steelyard::dpdk {

using net::Error;
using net::Result;

Result<std::unique_ptr<Relay>> Relay::Create(const std::string& name) {
  rte_ring* ring = rte_ring_create(name.c_str(), kRingCapacity, SOCKET_ID_ANY,
                                   RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
  if (ring == nullptr)
    return Error{std::string("no memory for a ring between workers: ") + rte_strerror(rte_errno)};
  return std::unique_ptr<Relay>(new Relay(ring));
}

Relay::~Relay() {
  rte_pktmbuf_free_bulk(waiting_.data() + first_waiting_, waiting_count_);
  MbufBurst mbufs;
  while (const uint32_t count = rte_ring_sc_dequeue_burst(
             ring_, reinterpret_cast<void**>(mbufs.data()), core::kBurstCapacity, nullptr))
    rte_pktmbuf_free_bulk(mbufs.data(), count);
  rte_ring_free(ring_);
}

uint32_t Relay::Put(rte_mbuf* const* packets, uint16_t count) {
  return rte_ring_sp_enqueue_burst(ring_, reinterpret_cast<void* const*>(packets), count, nullptr);
}

void Relay::SendTo(uint16_t device_id, uint16_t queue) {
  if (waiting_count_ == 0) {
    first_waiting_ = 0;
    waiting_count_ = static_cast<uint16_t>(rte_ring_sc_dequeue_burst(
        ring_, reinterpret_cast<void**>(waiting_.data()), core::kBurstCapacity, nullptr));
    if (waiting_count_ == 0) return;
  }
  const uint16_t sent =
      rte_eth_tx_burst(device_id, queue, waiting_.data() + first_waiting_, waiting_count_);
  first_waiting_ = static_cast<uint16_t>(first_waiting_ + sent);
  waiting_count_ = static_cast<uint16_t>(waiting_count_ - sent);
}

void RelayedPortQueue::Receive(core::Burst& burst) {
  burst.count = 0;
  burst.in_port = port_id_;
}

uint32_t RelayedPortQueue::Send(const core::Burst& burst, std::span<const uint8_t> indices) {
  MbufBurst mbufs;
  const uint16_t count = Collect(burst, indices, mbufs);
  return relay_.Put(mbufs.data(), count);
}

uint32_t RelayedPortQueue::Punt(const core::Burst& burst, std::span<const uint8_t> indices) {
  MbufBurst mbufs;
  const uint16_t count = Collect(burst, indices, mbufs);
  return channel_.Punt(mbufs.data(), count);
}

bool RelayedPortQueue::Allocate(core::Burst& burst) {
  return AllocateFrom(pool_, burst);
}

void RelayedPortQueue::Release(const core::Burst& burst, std::span<const uint8_t> indices) {
  ReleaseAll(burst, indices);
}

worker::PortQueue::FromKernel RelayedPortQueue::SendFromKernel() {
  MbufBurst mbufs;
  const auto received = static_cast<uint16_t>(channel_.Receive(mbufs.data(), core::kBurstCapacity));
  if (received == 0) return {};
  const uint32_t sent = relay_.Put(mbufs.data(), received);
  rte_pktmbuf_free_bulk(mbufs.data() + sent, received - sent);
  return {.received = received, .dropped = received - sent};
}

}  // namespace steelyard::dpdk
