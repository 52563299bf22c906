// SPDX-License-Identifier: Apache-2.0
//
// DpdkPortQueue: worker::PortQueue over one queue pair of an Ethernet device and a channel to its
// kernel twin. The one place where an mbuf becomes a packet view and back. Belongs to one worker.
#pragma once

#include <cstdint>
#include <span>

#include "core/counter.h"
#include "dpdk/kernel_path.h"
#include "worker/port_queue.h"

struct rte_mempool;

namespace steelyard::dpdk {

class DpdkPortQueue final : public worker::PortQueue {
 public:
  // `device_id` is DPDK's, `port_id` ours. `pool` has buffers for the frames of every port; it and
  // `channel` outlive this object.
  DpdkPortQueue(uint16_t device_id, uint16_t queue, core::PortId port_id, rte_mempool* pool,
                KernelChannel& channel)
      : device_id_(device_id), queue_(queue), port_id_(port_id), pool_(pool), channel_(channel) {}

  void Receive(core::Burst& burst) override;
  uint32_t Send(const core::Burst& burst, std::span<const uint8_t> indices) override;
  uint32_t Punt(const core::Burst& burst, std::span<const uint8_t> indices) override;
  bool Allocate(core::Burst& burst) override;
  void Release(const core::Burst& burst, std::span<const uint8_t> indices) override;
  FromKernel SendFromKernel() override;

  // Any thread: frames that came in several pieces. They were never received as far as a worker
  // knows.
  uint64_t scattered_packets() const { return scattered_packets_.value(); }

 private:
  const uint16_t device_id_;
  const uint16_t queue_;
  const core::PortId port_id_;
  rte_mempool* const pool_;
  KernelChannel& channel_;
  core::Counter scattered_packets_;
};

}  // namespace steelyard::dpdk
