// SPDX-License-Identifier: Apache-2.0
//
// EthernetPort: one DPDK Ethernet device, from its --port text to packets. Main thread only; the
// workers hold DpdkPortQueues over its queues.
//
// Open finds the device and what it is like, Start gives it buffers and turns it on: between the
// two, the process knows every port's MTU and can size its buffers. Frames are never scattered over
// several buffers. The twin has the port's own MAC, so the port is not promiscuous; it takes all
// multicast, because the kernel joins groups on the twin, where the device cannot see it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dpdk/dpdk_port_queue.h"
#include "dpdk/mbuf_pool.h"
#include "dpdk/port_spec.h"
#include "dpdk/receive_side_scaling.h"
#include "net/result.h"
#include "worker/dataplane.h"

struct rte_eth_dev_info;
struct rte_mempool;

namespace steelyard::dpdk {

class EthernetPort final : public worker::Port {
 public:
  // The environment runs. `kernel_interface` is the name that the twin will have.
  static net::Result<std::unique_ptr<EthernetPort>> Open(const PortSpec& spec, core::PortId id,
                                                         std::string kernel_interface,
                                                         uint16_t worker_count);
  ~EthernetPort() override;  // stops and closes the device
  EthernetPort(const EthernetPort&) = delete;
  EthernetPort& operator=(const EthernetPort&) = delete;

  int numa_node() const;  // of a PCI device; below 0: unknown, or none

  BufferDemand buffer_demand() const;

  // Buckets by which the device could lead packets to the workers; 0 where it cannot.
  uint32_t SteeringBuckets() const;

  // A queue pair for each worker as far as the device has them, receiving into the pool of its
  // node, and a relay to one of those for the rest. `channels` stand in the order of workers.
  // `bucket_count` is the smallest SteeringBuckets above 0 of all ports. Afterwards info() says
  // whether the device does so.
  net::Status Start(const MbufPools& pools, const std::vector<KernelChannel*>& channels,
                    uint32_t bucket_count);

  // After Start.
  worker::PortQueue& queue(uint32_t worker_index);

  const worker::PortInfo& info() const override { return info_; }
  bool IsLinkUp() const override;
  worker::PortStats ReadStats() const override;

 private:
  EthernetPort(const PortSpec& spec, uint16_t device_id, uint16_t worker_count)
      : spec_(spec), device_id_(device_id), worker_count_(worker_count) {}
  net::Status ReadInfo(core::PortId id, std::string kernel_interface);
  net::Status Configure(const MbufPools& pools, uint32_t bucket_count);
  net::Status ConfigureQueues(const rte_eth_dev_info& device, const MbufPools& pools);
  net::Status SetUpQueues(rte_mempool* pool);
  net::Status CreateRelays();
  void CreateQueues(rte_mempool* pool);
  net::Status SetReceiveFilters();
  void EnforceSteering();
  void SteerInSoftware(std::string reason);
  net::Error Failed(const std::string& what, int error) const;

  const PortSpec spec_;
  const uint16_t device_id_;
  const uint16_t worker_count_;
  uint16_t queue_count_ = 1;  // workers below this have one
  bool is_started_ = false;
  worker::PortInfo info_;
  uint32_t receive_queues_ = 1;  // of the kernel interface, if there is one
  uint16_t receive_descriptors_ = 1024;
  uint16_t send_descriptors_ = 1024;
  std::optional<ReceiveSideScaling> scaling_;   // while the device may steer
  std::vector<std::unique_ptr<Relay>> relays_;  // of workers from queue_count_ on
  std::vector<std::unique_ptr<DpdkPortQueue>> queues_;
  std::vector<std::unique_ptr<RelayedPortQueue>> relayed_queues_;
  std::vector<KernelChannel*> channels_;
};

}  // namespace steelyard::dpdk
