// SPDX-License-Identifier: Apache-2.0
#include "dpdk/port.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <rte_config.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dpdk/mbuf_pool.h"

namespace steelyard::dpdk {
namespace {

using net::Error;
using net::Ok;
using net::Result;
using net::Status;

// What an AF_XDP socket keeps beside its descriptors, in its fill and completion rings.
constexpr uint32_t kDriverBuffers = 4096;

struct KernelInterface {
  uint32_t mtu = 0;
  bool is_up = false;
  uint32_t receive_queues = 1;
};

// Also 1 where the driver has no such notion. Not by ioctl(), whose answer interface_channels.cc
// completes for others.
uint32_t CountReceiveQueues(int socket, ifreq request) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (syscall(SYS_ioctl, socket, SIOCETHTOOL, &request) != 0) return 1;
  return std::max(channels.rx_count + channels.combined_count, 1u);
}

Result<KernelInterface> ReadKernelInterface(const PortSpec& spec) {
  ifreq request{};
  spec.kernel_interface.copy(request.ifr_name, IFNAMSIZ - 1);
  KernelInterface result;
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool is_read = ioctl(socket, SIOCGIFMTU, &request) == 0;
  result.mtu = static_cast<uint32_t>(request.ifr_mtu);
  is_read = is_read && ioctl(socket, SIOCGIFFLAGS, &request) == 0;
  result.is_up = (request.ifr_flags & IFF_UP) != 0;
  const int error = errno;
  result.receive_queues = CountReceiveQueues(socket, request);
  close(socket);
  if (is_read) return result;
  return Error{"port '" + spec.text + "': interface " + spec.kernel_interface + ": " +
               std::strerror(error)};
}

// A packet socket's ring in slots that hold the interface's frames; some milliseconds of traffic
// each way.
std::string PacketSocketRing(uint32_t mtu) {
  constexpr uint32_t kBlockBytes = 64 * 1024;
  constexpr uint32_t kSlots = 2048;
  return ",blocksz=" + std::to_string(std::max(kBlockBytes, FrameRoom(mtu))) +
         ",framesz=" + std::to_string(FrameRoom(mtu)) + ",framecnt=" + std::to_string(kSlots);
}

// What the driver has to be told about its queues: AF_XDP takes a socket for each queue of the
// interface, a packet socket can be opened as often as one likes.
std::string QueueArguments(const PortSpec& spec, uint16_t worker_count, uint32_t receive_queues) {
  const uint16_t wanted = spec.queues != 0 ? std::min(spec.queues, worker_count) : worker_count;
  if (spec.device.starts_with("net_af_packet")) return ",qpairs=" + std::to_string(wanted);
  if (spec.device.starts_with("net_af_xdp"))
    return ",queue_count=" + std::to_string(std::min<uint32_t>(wanted, receive_queues));
  return "";
}

Result<std::string> DeviceArguments(const PortSpec& spec, uint16_t worker_count) {
  std::string arguments = spec.device;
  if (!spec.arguments.empty()) arguments += "," + spec.arguments;
  if (spec.kernel_interface.empty()) return arguments;
  const Result<KernelInterface> interface = ReadKernelInterface(spec);
  if (!interface) return interface.error();
  if (!interface->is_up) {
    return Error{"port '" + spec.text + "': interface " + spec.kernel_interface +
                 " is down: ip link set " + spec.kernel_interface + " up"};
  }
  if (spec.device.starts_with("net_af_packet")) arguments += PacketSocketRing(interface->mtu);
  return arguments + QueueArguments(spec, worker_count, interface->receive_queues);
}

constexpr char kBindFirst[] = "; bind it to vfio-pci first (dpdk-devbind.py --status)";

// DPDK's number for the device.
Result<uint16_t> Probe(const PortSpec& spec, uint16_t worker_count) {
  const Result<std::string> arguments = DeviceArguments(spec, worker_count);
  if (!arguments) return arguments.error();
  if (rte_dev_probe(arguments->c_str()) != 0) {
    return Error{"port '" + spec.text + "': DPDK's driver did not take '" + *arguments +
                 "'; its message stands above" + (spec.is_pci ? kBindFirst : "")};
  }
  uint16_t device_id;
  if (rte_eth_dev_get_port_by_name(spec.device.c_str(), &device_id) != 0) {
    return Error{"port '" + spec.text + "': no Ethernet device came of it" +
                 (spec.is_pci ? kBindFirst : "")};
  }
  return device_id;
}

}  // namespace

Result<std::unique_ptr<EthernetPort>> EthernetPort::Open(const PortSpec& spec, core::PortId id,
                                                         std::string kernel_interface,
                                                         uint16_t worker_count) {
  const Result<uint16_t> device_id = Probe(spec, worker_count);
  if (!device_id) return device_id.error();
  std::unique_ptr<EthernetPort> port(new EthernetPort(spec, *device_id, worker_count));
  if (const Status status = port->ReadInfo(id, std::move(kernel_interface)); !status)
    return status.error();
  return port;
}

EthernetPort::~EthernetPort() {
  if (is_started_) rte_eth_dev_stop(device_id_);
  rte_eth_dev_close(device_id_);
}

Error EthernetPort::Failed(const std::string& what, int error) const {
  return {"port '" + spec_.text + "': cannot " + what + ": " + rte_strerror(std::abs(error))};
}

Status EthernetPort::ReadInfo(core::PortId id, std::string kernel_interface) {
  rte_eth_dev_info device;
  if (const int error = rte_eth_dev_info_get(device_id_, &device); error != 0)
    return Failed("read its capabilities", error);
  rte_ether_addr mac;
  if (const int error = rte_eth_macaddr_get(device_id_, &mac); error != 0)
    return Failed("read its MAC address", error);
  if (!rte_is_valid_assigned_ether_addr(&mac)) rte_eth_random_addr(mac.addr_bytes);

  info_.id = id;
  info_.name = spec_.device;
  info_.driver = device.driver_name;
  queue_count_ = std::min({worker_count_, device.max_rx_queues, device.max_tx_queues});
  if (spec_.queues != 0) queue_count_ = std::min(queue_count_, spec_.queues);
  if (queue_count_ == 0) return Error{"port '" + spec_.text + "': it has no queues"};
  // A driver asks for longer ones where the other side sends in long bursts: AF_XDP for 2048.
  receive_descriptors_ = std::max(receive_descriptors_, device.default_rxportconf.ring_size);
  send_descriptors_ = std::max(send_descriptors_, device.default_txportconf.ring_size);
  info_.kernel_interface = std::move(kernel_interface);
  std::copy_n(mac.addr_bytes, info_.mac.bytes.size(), info_.mac.bytes.begin());
  if (spec_.kernel_interface.empty()) {
    uint16_t mtu = RTE_ETHER_MTU;
    rte_eth_dev_get_mtu(device_id_, &mtu);
    info_.mtu = mtu;
    return Ok{};
  }
  const Result<KernelInterface> interface = ReadKernelInterface(spec_);
  if (!interface) return interface.error();
  info_.mtu = interface->mtu;
  receive_queues_ = interface->receive_queues;
  if (info_.mtu > device.max_mtu) {
    return Error{"port '" + spec_.text + "': interface " + spec_.kernel_interface +
                 " has an MTU of " + std::to_string(info_.mtu) + " and " + info_.driver +
                 " takes at most " + std::to_string(device.max_mtu)};
  }
  return Ok{};
}

int EthernetPort::numa_node() const {
  // A virtual device says the main core's, wherever its packets come from.
  return spec_.is_pci ? rte_eth_dev_socket_id(device_id_) : -1;
}

BufferDemand EthernetPort::buffer_demand() const {
  const uint32_t of_channel = 2 * KernelPath::kRingCapacity;
  const uint32_t relays = worker_count_ - queue_count_;
  return {.numa_node = numa_node(),
          .receiving = queue_count_ * (receive_descriptors_ + kDriverBuffers) + spec_.more_buffers,
          .leaving = queue_count_ * send_descriptors_ + worker_count_ * of_channel +
                     relays * Relay::kRingCapacity};
}

uint32_t EthernetPort::SteeringBuckets() const {
  rte_eth_dev_info device;
  if (rte_eth_dev_info_get(device_id_, &device) != 0) return 0;
  if (!WhyNotSteered(device, spec_.is_pci, queue_count_, worker_count_).empty()) return 0;
  return SteeringBucketsOf(device.reta_size);
}

Status EthernetPort::Start(const MbufPools& pools, const std::vector<KernelChannel*>& channels,
                           uint32_t bucket_count) {
  rte_mempool* const pool = pools.Near(numa_node());
  if (const Status status = Configure(pools, bucket_count); !status) return status;
  if (const Status status = SetUpQueues(pool); !status) return status;
  if (const int error = rte_eth_dev_start(device_id_); error != 0) return Failed("start", error);
  is_started_ = true;
  EnforceSteering();
  channels_ = channels;
  if (const Status status = CreateRelays(); !status) return status;
  CreateQueues(pool);
  return SetReceiveFilters();
}

Status EthernetPort::CreateRelays() {
  for (uint16_t worker = queue_count_; worker < worker_count_; ++worker) {
    Result<std::unique_ptr<Relay>> relay =
        Relay::Create("relay_" + std::to_string(info_.id) + "_" + std::to_string(worker));
    if (!relay) return relay.error();
    relays_.push_back(std::move(*relay));
  }
  return Ok{};
}

void EthernetPort::CreateQueues(rte_mempool* pool) {
  const core::Steered steered =
      info_.steers_in_hardware ? core::Steered::kByPort : core::Steered::kNot;
  for (uint16_t i = 0; i < queue_count_; ++i) {
    std::vector<Relay*> relays;
    for (size_t n = i; n < relays_.size(); n += queue_count_) relays.push_back(relays_[n].get());
    queues_.push_back(std::make_unique<DpdkPortQueue>(
        DpdkPortQueue::Device{.id = device_id_, .queue = i, .steered = steered}, info_.id, pool,
        *channels_[i], std::move(relays)));
  }
  for (uint16_t worker = queue_count_; worker < worker_count_; ++worker)
    relayed_queues_.push_back(std::make_unique<RelayedPortQueue>(
        info_.id, pool, *relays_[worker - queue_count_], *channels_[worker]));
}

worker::PortQueue& EthernetPort::queue(uint32_t worker_index) {
  if (worker_index < queue_count_) return *queues_[worker_index];
  return *relayed_queues_[worker_index - queue_count_];
}

Status EthernetPort::Configure(const MbufPools& pools, uint32_t bucket_count) {
  rte_eth_dev_info device;
  if (const int error = rte_eth_dev_info_get(device_id_, &device); error != 0)
    return Failed("read its capabilities", error);
  // A socket takes one queue; what came in by another would be lost.
  if (spec_.device.starts_with("net_af_xdp") && receive_queues_ > queue_count_) {
    const std::string count = std::to_string(queue_count_);
    return Error{"port '" + spec_.text + "': interface " + spec_.kernel_interface + " has " +
                 std::to_string(receive_queues_) + " receive queues and AF_XDP takes " + count +
                 ", one a worker: ethtool -L " + spec_.kernel_interface + " combined " + count +
                 " (or rx " + count + ")"};
  }
  std::string reason = WhyNotSteered(device, spec_.is_pci, queue_count_, worker_count_);
  if (reason.empty()) {
    scaling_.emplace(device, queue_count_, bucket_count);
    info_.steers_in_hardware = true;
  } else {
    SteerInSoftware(std::move(reason));
  }
  Status configured = ConfigureQueues(device, pools);
  if (configured || !scaling_) return configured;
  SteerInSoftware("its driver refuses RSS (" + configured.error().message + ")");
  return ConfigureQueues(device, pools);
}

Status EthernetPort::ConfigureQueues(const rte_eth_dev_info& device, const MbufPools& pools) {
  rte_eth_conf configuration{};
  if (scaling_) scaling_->Request(configuration);
  // A driver over a kernel interface takes that interface's MTU by itself.
  if (spec_.kernel_interface.empty()) configuration.rxmode.mtu = info_.mtu;
  // Gives all that a queue sent back to one pool, whichever it came from.
  if (pools.count() == 1)
    configuration.txmode.offloads = device.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  if (const int error =
          rte_eth_dev_configure(device_id_, queue_count_, queue_count_, &configuration);
      error != 0)
    return Failed("configure it", error);
  return Ok{};
}

Status EthernetPort::SetUpQueues(rte_mempool* pool) {
  if (const int error =
          rte_eth_dev_adjust_nb_rx_tx_desc(device_id_, &receive_descriptors_, &send_descriptors_);
      error != 0)
    return Failed("size its queues", error);
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(device_id_));
  for (uint16_t i = 0; i < queue_count_; ++i) {
    if (const int error =
            rte_eth_rx_queue_setup(device_id_, i, receive_descriptors_, socket, nullptr, pool);
        error != 0)
      return Failed("set up receive queue " + std::to_string(i), error);
    if (const int error = rte_eth_tx_queue_setup(device_id_, i, send_descriptors_, socket, nullptr);
        error != 0)
      return Failed("set up transmit queue " + std::to_string(i), error);
  }
  return Ok{};
}

void EthernetPort::SteerInSoftware(std::string reason) {
  scaling_.reset();
  info_.steers_in_hardware = false;
  info_.steering_reason = std::move(reason);
}

void EthernetPort::EnforceSteering() {
  if (!scaling_) return;
  if (const Status status = scaling_->Enforce(device_id_); !status) {
    SteerInSoftware(status.error().message);
    return;
  }
  // What came before that may be in any queue, and a worker would take it for its own.
  constexpr uint16_t kAtOnce = 64;
  rte_mbuf* packets[kAtOnce];
  for (uint16_t queue = 0; queue < queue_count_; ++queue) {
    for (uint32_t taken = 0; taken < receive_descriptors_; taken += kAtOnce) {
      const uint16_t count = rte_eth_rx_burst(device_id_, queue, packets, kAtOnce);
      if (count == 0) break;
      rte_pktmbuf_free_bulk(packets, count);
    }
  }
}

// A device that cannot be told receives everything anyway: such are the ones in memory and on
// sockets.
Status EthernetPort::SetReceiveFilters() {
  if (!spec_.is_pci) return Ok{};
  rte_eth_promiscuous_disable(device_id_);
  if (rte_eth_allmulticast_enable(device_id_) == 0) return Ok{};
  if (const int error = rte_eth_promiscuous_enable(device_id_); error != 0)
    return Failed("receive multicast, which IPv6 needs", error);
  return Ok{};
}

bool EthernetPort::IsLinkUp() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(device_id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

worker::PortStats EthernetPort::ReadStats() const {
  rte_eth_stats device{};
  rte_eth_stats_get(device_id_, &device);
  worker::PortStats stats{.received_packets = device.ipackets,
                          .received_bytes = device.ibytes,
                          .sent_packets = device.opackets,
                          .sent_bytes = device.obytes,
                          .receive_missed_packets = device.imissed,
                          .receive_errors = device.ierrors + device.rx_nombuf,
                          .send_errors = device.oerrors};
  for (const auto& queue : queues_) stats.receive_errors += queue->scattered_packets();
  for (const KernelChannel* channel : channels_)
    stats.kernel_refused_packets += channel->refused_packets();
  return stats;
}

}  // namespace steelyard::dpdk
