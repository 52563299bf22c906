// SPDX-License-Identifier: Apache-2.0
#include "dpdk/port_set.h"

#include <algorithm>
#include <utility>

#include "dpdk/eal.h"

namespace steelyard::dpdk {

using net::Ok;
using net::Result;
using net::Status;

Result<std::unique_ptr<PortSet>> PortSet::Open(const std::vector<PortSpec>& specs,
                                               const std::string& twin_prefix,
                                               uint16_t worker_count) {
  std::unique_ptr<PortSet> set(new PortSet());
  if (const Status status = set->OpenPorts(specs, twin_prefix, worker_count); !status)
    return status.error();
  Result<MbufPools> pools = set->CreatePools();
  if (!pools) return pools.error();
  set->pools_ = std::move(*pools);
  Result<std::unique_ptr<KernelPath>> kernel_path = KernelPath::Create(set->pools_->Near(kAnyNode));
  if (!kernel_path) return kernel_path.error();
  set->kernel_path_ = std::move(*kernel_path);
  for (const auto& port : set->ports_) {
    if (const uint32_t buckets = port->SteeringBuckets(); buckets != 0)
      set->steering_buckets_ = std::min(set->steering_buckets_, buckets);
  }
  for (const auto& port : set->ports_) {
    if (const Status status = set->StartWithTwin(*port, worker_count); !status)
      return status.error();
  }
  return set;
}

std::vector<std::string> PortSet::Distances(uint16_t worker_count) const {
  std::vector<std::string> sentences;
  for (const auto& port : ports_) {
    const auto compare = [&](const std::string& what, int node, const std::string& advice) {
      if (port->numa_node() < 0 || node < 0 || port->numa_node() == node) return;
      sentences.push_back("port " + port->info().name + " is on NUMA node " +
                          std::to_string(port->numa_node()) + " and " + what + " on node " +
                          std::to_string(node) + ": " + advice);
    };
    for (uint32_t i = 0; i < worker_count; ++i)
      compare("worker " + std::to_string(i), NodeOfWorker(i), "choose cores of the port's node");
    compare("its packet buffers", NodeOfBuffers(*pools_->Near(port->numa_node())),
            "reserve huge pages on the port's node");
  }
  return sentences;
}

std::vector<worker::PortQueue*> PortSet::QueuesOf(uint32_t worker_index) {
  std::vector<worker::PortQueue*> queues;
  for (const auto& port : ports_) queues.push_back(&port->queue(worker_index));
  return queues;
}

Status PortSet::OpenPorts(const std::vector<PortSpec>& specs, const std::string& twin_prefix,
                          uint16_t worker_count) {
  for (const PortSpec& spec : specs) {
    const auto id = static_cast<core::PortId>(ports_.size());
    Result<std::unique_ptr<EthernetPort>> port =
        EthernetPort::Open(spec, id, twin_prefix + std::to_string(id), worker_count);
    if (!port) return port.error();
    ports_.push_back(std::move(*port));
  }
  return Ok{};
}

Result<MbufPools> PortSet::CreatePools() const {
  std::vector<BufferDemand> demands;
  uint32_t largest_mtu = 0;
  for (const auto& port : ports_) {
    demands.push_back(port->buffer_demand());
    largest_mtu = std::max(largest_mtu, port->info().mtu);
  }
  return MbufPools::Create(demands, largest_mtu);
}

Status PortSet::StartWithTwin(EthernetPort& port, uint16_t worker_count) {
  Result<KernelTwin> twin = KernelTwin::Open(port.info().kernel_interface, port.info().mac,
                                             port.info().mtu, worker_count);
  if (!twin) return twin.error();
  std::vector<KernelChannel*> channels;
  for (uint16_t i = 0; i < worker_count; ++i) {
    const Result<KernelChannel*> channel = kernel_path_->AddChannel(twin->queue_fd(i));
    if (!channel) return channel.error();
    channels.push_back(*channel);
  }
  twins_.push_back(std::move(*twin));
  return port.Start(*pools_, channels, steering_buckets_);
}

}  // namespace steelyard::dpdk
