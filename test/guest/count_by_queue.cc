// SPDX-License-Identifier: Apache-2.0
//
// count_by_queue PCI_ADDRESS QUEUES PACKETS
//
// Runs in the guest: whether a device leads packets by our key and table, judged by DPDK's own
// software hash, after its start and after a stop and a start. Each round says "ready", takes
// PACKETS packets of TCP and UDP, and prints a line "round N: COUNT COUNT ... strays=COUNT", a
// count a queue. A stray is a packet in another queue than its hash says.
#include <rte_config.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_thash.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "core/steering.h"
#include "dpdk/eal.h"
#include "dpdk/mbuf_pool.h"
#include "dpdk/receive_side_scaling.h"

namespace steelyard::dpdk {
namespace {

constexpr uint32_t kBuckets = 128;
constexpr uint16_t kDescriptors = 1024;
constexpr auto kLimit = std::chrono::seconds(20);

bool IsTcpOrUdp(uint8_t protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

// Source port above destination port, as one word of the hash's input.
uint32_t PortsAt(const rte_mbuf* packet, uint32_t offset) {
  return rte_be_to_cpu_32(*rte_pktmbuf_mtod_offset(packet, const rte_be32_t*, offset));
}

uint32_t SoftwareHash(uint32_t* input, uint32_t words) {
  alignas(4) static constexpr core::ToeplitzKey kKey = core::kSteeringKey;
  return rte_softrss(input, words, kKey.data());
}

// Nothing for what is neither TCP nor UDP.
std::optional<uint32_t> HashOf(const rte_mbuf* packet) {
  const auto* ethernet = rte_pktmbuf_mtod(packet, const rte_ether_hdr*);
  if (ethernet->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)) {
    const auto* ip = reinterpret_cast<const rte_ipv4_hdr*>(ethernet + 1);
    if (!IsTcpOrUdp(ip->next_proto_id)) return std::nullopt;
    uint32_t input[] = {rte_be_to_cpu_32(ip->src_addr), rte_be_to_cpu_32(ip->dst_addr),
                        PortsAt(packet, sizeof *ethernet + sizeof *ip)};
    return SoftwareHash(input, 3);
  }
  if (ethernet->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6)) {
    const auto* ip = reinterpret_cast<const rte_ipv6_hdr*>(ethernet + 1);
    if (!IsTcpOrUdp(ip->proto)) return std::nullopt;
    uint32_t input[9];
    const auto* addresses = reinterpret_cast<const rte_be32_t*>(ip->src_addr);
    for (int i = 0; i < 8; ++i) input[i] = rte_be_to_cpu_32(addresses[i]);
    input[8] = PortsAt(packet, sizeof *ethernet + sizeof *ip);
    return SoftwareHash(input, 9);
  }
  return std::nullopt;
}

[[noreturn]] void Fail(const std::string& what) {
  std::printf("failed: %s\n", what.c_str());
  std::exit(1);
}

void Check(int error, const char* what) {
  if (error != 0) Fail(std::string(what) + ": " + std::to_string(error));
}

struct Device {
  uint16_t id = 0;
  uint16_t queues = 0;

  void Configure(ReceiveSideScaling& scaling, rte_mempool* pool) const {
    rte_eth_conf configuration{};
    scaling.Request(configuration);
    Check(rte_eth_dev_configure(id, queues, queues, &configuration), "configure");
    for (uint16_t i = 0; i < queues; ++i) {
      Check(rte_eth_rx_queue_setup(id, i, kDescriptors, 0, nullptr, pool), "receive queue");
      Check(rte_eth_tx_queue_setup(id, i, kDescriptors, 0, nullptr), "transmit queue");
    }
  }

  void Start(ReceiveSideScaling& scaling) const {
    Check(rte_eth_dev_start(id), "start");
    if (const net::Status status = scaling.Enforce(id); !status) Fail(status.error().message);
  }

  void Count(int round, uint32_t wanted) const {
    std::vector<uint32_t> packets_by_queue(queues);
    uint32_t received = 0, strays = 0;
    std::printf("ready %d\n", round);
    std::fflush(stdout);
    const auto give_up = std::chrono::steady_clock::now() + kLimit;
    while (received < wanted) {
      if (std::chrono::steady_clock::now() > give_up)
        Fail("received " + std::to_string(received) + " packets");
      for (uint16_t queue = 0; queue < queues; ++queue) {
        rte_mbuf* packets[32];
        const uint16_t count = rte_eth_rx_burst(id, queue, packets, 32);
        for (uint16_t i = 0; i < count; ++i) {
          const std::optional<uint32_t> hash = HashOf(packets[i]);
          if (!hash) continue;
          ++received;
          ++packets_by_queue[queue];
          if (*hash % kBuckets % queues != queue) ++strays;
        }
        rte_pktmbuf_free_bulk(packets, count);
      }
    }
    std::printf("round %d:", round);
    for (const uint32_t count : packets_by_queue) std::printf(" %u", count);
    std::printf(" strays=%u\n", strays);
    std::fflush(stdout);
  }
};

int Run(const std::string& pci_address, uint16_t queues, uint32_t packets) {
  const auto eal = Eal::Start(
      {.main_core = 0, .use_huge_pages = false, .memory_mib = 128, .pci_addresses = {pci_address}});
  if (!eal) Fail(eal.error().message);
  const auto pool = CreateMbufPool(16383, 1500);
  if (!pool) Fail(pool.error().message);
  Device device{.queues = queues};
  Check(rte_dev_probe(pci_address.c_str()), "probe the device");
  Check(rte_eth_dev_get_port_by_name(pci_address.c_str(), &device.id), "find the device");
  rte_eth_dev_info info;
  Check(rte_eth_dev_info_get(device.id, &info), "read its capabilities");
  if (const std::string reason = WhyNotSteered(info, true, queues, queues); !reason.empty())
    Fail(reason);
  ReceiveSideScaling scaling(info, queues, kBuckets);
  device.Configure(scaling, *pool);
  for (int round = 1; round <= 2; ++round) {
    device.Start(scaling);
    device.Count(round, packets);
    Check(rte_eth_dev_stop(device.id), "stop");
  }
  rte_eth_dev_close(device.id);
  return 0;
}

}  // namespace
}  // namespace steelyard::dpdk

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  return steelyard::dpdk::Run(argv[1], static_cast<uint16_t>(std::atoi(argv[2])),
                              static_cast<uint32_t>(std::atoi(argv[3])));
}
