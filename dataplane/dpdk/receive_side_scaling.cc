// SPDX-License-Identifier: Apache-2.0
#include "dpdk/receive_side_scaling.h"

#include <rte_config.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace steelyard::dpdk {
namespace {

using net::Error;
using net::Ok;
using net::Status;

constexpr uint32_t kMaxBuckets = 128;
constexpr uint32_t kMinBuckets = 64;

struct HashFunction {
  uint64_t flag;
  const char* flows;
};

constexpr std::array kHashFunctions = {
    HashFunction{RTE_ETH_RSS_NONFRAG_IPV4_TCP, "TCP over IPv4"},
    HashFunction{RTE_ETH_RSS_NONFRAG_IPV4_UDP, "UDP over IPv4"},
    HashFunction{RTE_ETH_RSS_NONFRAG_IPV6_TCP, "TCP over IPv6"},
    HashFunction{RTE_ETH_RSS_NONFRAG_IPV6_UDP, "UDP over IPv6"},
};

constexpr uint64_t AllHashFunctions() {
  uint64_t flags = 0;
  for (const HashFunction& function : kHashFunctions) flags |= function.flag;
  return flags;
}

// The first of our flows that are not among `flags`, or null.
const char* FlowsNotHashed(uint64_t flags) {
  for (const HashFunction& function : kHashFunctions)
    if ((flags & function.flag) == 0) return function.flows;
  return nullptr;
}

// A device that does not say takes 40 bytes, as all did before they could say.
size_t KeyBytesOf(const rte_eth_dev_info& device) {
  return device.hash_key_size == 0 ? core::kToeplitzKeyBytes : device.hash_key_size;
}

Error Refused(const char* what, int error) {
  return {std::string("its driver refuses ") + what + " (" + rte_strerror(std::abs(error)) + ")"};
}

using Table = std::vector<rte_eth_rss_reta_entry64>;

// Room for every entry, with all of them selected.
Table WholeTable(uint32_t entries) {
  return Table(entries / RTE_ETH_RETA_GROUP_SIZE, rte_eth_rss_reta_entry64{.mask = UINT64_MAX});
}

uint16_t& EntryOf(Table& table, uint32_t entry) {
  return table[entry / RTE_ETH_RETA_GROUP_SIZE].reta[entry % RTE_ETH_RETA_GROUP_SIZE];
}

}  // namespace

uint32_t SteeringBucketsOf(uint32_t table_entries) {
  if (table_entries == 0 || table_entries % kMinBuckets != 0) return 0;
  return table_entries % kMaxBuckets == 0 ? kMaxBuckets : kMinBuckets;
}

std::string WhyNotSteered(const rte_eth_dev_info& device, bool is_pci, uint32_t queue_count,
                          uint32_t worker_count) {
  const std::string driver = device.driver_name;
  if (worker_count == 1) return "one worker";
  if (device.flow_type_rss_offloads == 0 || device.reta_size == 0) return driver + " has no RSS";
  if (!is_pci) return driver + " is a virtual device, whose RSS need not hash";
  if (queue_count < worker_count) {
    return "fewer queues (" + std::to_string(queue_count) + ") than workers (" +
           std::to_string(worker_count) + ")";
  }
  if (const char* flows = FlowsNotHashed(device.flow_type_rss_offloads); flows != nullptr)
    return driver + " does not hash " + flows;
  if (SteeringBucketsOf(device.reta_size) == 0)
    return "its table has " + std::to_string(device.reta_size) + " entries";
  if (KeyBytesOf(device) < core::kToeplitzKeyBytes)
    return "its key has " + std::to_string(KeyBytesOf(device)) + " bytes";
  return "";
}

ReceiveSideScaling::ReceiveSideScaling(const rte_eth_dev_info& device, uint16_t queue_count,
                                       uint32_t bucket_count)
    : queue_count_(queue_count),
      bucket_count_(bucket_count),
      table_entries_(device.reta_size),
      key_bytes_(static_cast<uint8_t>(std::min(KeyBytesOf(device), kMaxKeyBytes))) {
  // Toeplitz reads 32 bits of the key beyond its input, 40 bytes for the longest: what a device has
  // room for after those never counts.
  std::copy(core::kSteeringKey.begin(), core::kSteeringKey.end(), key_.begin());
}

void ReceiveSideScaling::Request(rte_eth_conf& configuration) {
  configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  configuration.rx_adv_conf.rss_conf = {
      .rss_key = key_.data(), .rss_key_len = key_bytes_, .rss_hf = AllHashFunctions()};
}

Status ReceiveSideScaling::Enforce(uint16_t device_id) {
  if (Status status = SetHash(device_id); !status) return status;
  if (Status status = SetTable(device_id); !status) return status;
  if (Status status = CheckHash(device_id); !status) return status;
  return CheckTable(device_id);
}

Status ReceiveSideScaling::SetHash(uint16_t device_id) {
  rte_eth_rss_conf hash{
      .rss_key = key_.data(), .rss_key_len = key_bytes_, .rss_hf = AllHashFunctions()};
  const int error = rte_eth_dev_rss_hash_update(device_id, &hash);
  return error == 0 ? Status(Ok{}) : Refused("our key", error);
}

Status ReceiveSideScaling::CheckHash(uint16_t device_id) const {
  std::array<uint8_t, kMaxKeyBytes> key{};
  rte_eth_rss_conf hash{.rss_key = key.data(), .rss_key_len = key_bytes_, .rss_hf = 0};
  if (const int error = rte_eth_dev_rss_hash_conf_get(device_id, &hash); error != 0)
    return Refused("to tell its key", error);
  if (key != key_) return Error{"the key read back differs"};
  const char* flows = FlowsNotHashed(hash.rss_hf);
  return flows == nullptr ? Status(Ok{})
                          : Error{std::string("read back, it does not hash ") + flows};
}

Status ReceiveSideScaling::SetTable(uint16_t device_id) const {
  Table table = WholeTable(table_entries_);
  for (uint32_t i = 0; i < table_entries_; ++i) EntryOf(table, i) = QueueOf(i);
  const int error = rte_eth_dev_rss_reta_update(device_id, table.data(), table_entries_);
  return error == 0 ? Status(Ok{}) : Refused("our table", error);
}

Status ReceiveSideScaling::CheckTable(uint16_t device_id) const {
  Table table = WholeTable(table_entries_);
  for (uint32_t i = 0; i < table_entries_; ++i) EntryOf(table, i) = UINT16_MAX;
  if (const int error = rte_eth_dev_rss_reta_query(device_id, table.data(), table_entries_);
      error != 0)
    return Refused("to tell its table", error);
  for (uint32_t i = 0; i < table_entries_; ++i) {
    if (EntryOf(table, i) != QueueOf(i)) return Error{"the table read back differs"};
  }
  return Ok{};
}

}  // namespace steelyard::dpdk
