// SPDX-License-Identifier: Apache-2.0
//
// Ports with fewer queues than there are workers. Each queue pair is one worker's; the others reach
// the port through one of those: what they send goes over a ring to it, and it sends it with its
// own. They receive nothing there.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "dpdk/kernel_path.h"
#include "net/result.h"
#include "worker/port_queue.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace steelyard::dpdk {

// From one worker without a queue to one with. The main thread makes it before the workers run.
class Relay {
 public:
  static constexpr uint32_t kRingCapacity = 1024;

  // `name` is unique among the process's rings.
  static net::Result<std::unique_ptr<Relay>> Create(const std::string& name);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // The worker without a queue. Takes what fits, in order, and returns how many that was.
  uint32_t Put(rte_mbuf* const* packets, uint16_t count);
  // The worker with the queue: sends what waits, a burst at most. What the port does not take waits
  // on.
  void SendTo(uint16_t device_id, uint16_t queue);

 private:
  explicit Relay(rte_ring* ring) : ring_(ring) {}

  rte_ring* const ring_;
  // The sender's own: taken from the ring and not taken by the port yet.
  std::array<rte_mbuf*, core::kBurstCapacity> waiting_;
  uint16_t first_waiting_ = 0;
  uint16_t waiting_count_ = 0;
};

// The port of a worker that has no queue there.
class RelayedPortQueue final : public worker::PortQueue {
 public:
  // All outlive this object.
  RelayedPortQueue(core::PortId port_id, rte_mempool* pool, Relay& relay, KernelChannel& channel)
      : port_id_(port_id), pool_(pool), relay_(relay), channel_(channel) {}

  void Receive(core::Burst& burst) override;
  uint32_t Send(const core::Burst& burst, std::span<const uint8_t> indices) override;
  uint32_t Punt(const core::Burst& burst, std::span<const uint8_t> indices) override;
  bool Allocate(core::Burst& burst) override;
  void Release(const core::Burst& burst, std::span<const uint8_t> indices) override;
  FromKernel SendFromKernel() override;
  void SendRelayed() override {}

 private:
  const core::PortId port_id_;
  rte_mempool* const pool_;
  Relay& relay_;
  KernelChannel& channel_;
};

}  // namespace steelyard::dpdk
