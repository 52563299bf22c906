// SPDX-License-Identifier: Apache-2.0
//
// PortSet: every port of the process with its kernel twin, their packet buffers and the kernel path
// between them. Made whole or not at all; main thread only. The environment outlives it, workers
// do not.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dpdk/kernel_path.h"
#include "dpdk/kernel_twin.h"
#include "dpdk/mbuf_pool.h"
#include "dpdk/port.h"
#include "dpdk/port_spec.h"
#include "net/result.h"

namespace steelyard::dpdk {

class PortSet {
 public:
  // Port ids follow the order of `specs`; the twin of port N is called `twin_prefix` and N. Every
  // port gets a queue pair for each worker. Packets begin to gather in the queues.
  static net::Result<std::unique_ptr<PortSet>> Open(const std::vector<PortSpec>& specs,
                                                    const std::string& twin_prefix,
                                                    uint16_t worker_count);

  const std::vector<std::unique_ptr<EthernetPort>>& ports() const { return ports_; }

  // Buckets that the redirection tables of the ports which steer in hardware share out among the
  // workers; core::Steering must be made with them.
  uint32_t steering_buckets() const { return steering_buckets_; }

  // Workers and packet buffers that are on another NUMA node than a port, a sentence each.
  std::vector<std::string> Distances(uint16_t worker_count) const;

  // The queues that this worker polls, by port id.
  std::vector<worker::PortQueue*> QueuesOf(uint32_t worker_index);

  void StartKernelPath() { kernel_path_->Start(); }
  void StopKernelPath() { kernel_path_->Stop(); }  // once no worker runs

 private:
  PortSet() = default;
  net::Status OpenPorts(const std::vector<PortSpec>& specs, const std::string& twin_prefix,
                        uint16_t worker_count);
  net::Result<MbufPools> CreatePools() const;
  net::Status StartWithTwin(EthernetPort& port, uint16_t worker_count);

  uint32_t steering_buckets_ = 128;
  std::optional<MbufPools> pools_;
  std::vector<KernelTwin> twins_;
  std::unique_ptr<KernelPath> kernel_path_;
  std::vector<std::unique_ptr<EthernetPort>> ports_;
};

}  // namespace steelyard::dpdk
