// SPDX-License-Identifier: Apache-2.0
//
// DpdkPortQueue: worker::PortQueue over one queue pair of an Ethernet device and a channel to its
// kernel twin. Belongs to one worker.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/counter.h"
#include "dpdk/kernel_path.h"
#include "dpdk/relay.h"
#include "worker/port_queue.h"

struct rte_mempool;

namespace steelyard::dpdk {

class DpdkPortQueue final : public worker::PortQueue {
 public:
  struct Device {
    uint16_t id;  // DPDK's
    uint16_t queue;
    core::Steered steered;  // what comes in by that queue
  };
  // `port_id` is ours. `pool` has buffers for the frames of every port; it, `channel` and `relays`,
  // from workers without a queue here, outlive this object.
  DpdkPortQueue(const Device& device, core::PortId port_id, rte_mempool* pool,
                KernelChannel& channel, std::vector<Relay*> relays)
      : device_id_(device.id),
        queue_(device.queue),
        steered_(device.steered),
        port_id_(port_id),
        pool_(pool),
        channel_(channel),
        relays_(std::move(relays)) {}

  void Receive(core::Burst& burst) override;
  uint32_t Send(const core::Burst& burst, std::span<const uint8_t> indices) override;
  uint32_t Punt(const core::Burst& burst, std::span<const uint8_t> indices) override;
  bool Allocate(core::Burst& burst) override;
  void Release(const core::Burst& burst, std::span<const uint8_t> indices) override;
  FromKernel SendFromKernel() override;
  void SendRelayed() override;

  // Any thread: frames that came in several pieces. They were never received as far as a worker
  // knows.
  uint64_t scattered_packets() const { return scattered_packets_.value(); }

 private:
  const uint16_t device_id_;
  const uint16_t queue_;
  const core::Steered steered_;
  const core::PortId port_id_;
  rte_mempool* const pool_;
  KernelChannel& channel_;
  const std::vector<Relay*> relays_;
  core::Counter scattered_packets_;
};

}  // namespace steelyard::dpdk
