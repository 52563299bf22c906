// SPDX-License-Identifier: Apache-2.0
//
// Receive-side scaling: has a device lead every TCP and UDP packet to the queue of the worker that
// owns its flow, by the key and the table that core/steering.h computes with. Main thread only.
//
// A device is trusted as a whole or not at all: it hashes both families and both protocols, its
// key, hash functions and table are what was asked for when read back, and it is hardware. (A
// virtual device may keep key and table faithfully and hash nothing: net_null does.) Everything
// else is steered in software, with a reason that an operator can act on. What has no ports to
// hash, such as fragments and ICMP, arrives anywhere.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/toeplitz.h"
#include "net/result.h"

struct rte_eth_conf;
struct rte_eth_dev_info;

namespace steelyard::dpdk {

// Buckets of a redirection table of that many entries: flows with the same hash modulo this share a
// worker. 0: the table cannot tell the buckets apart.
uint32_t SteeringBucketsOf(uint32_t table_entries);

// Why the device cannot lead packets to `worker_count` workers by the `queue_count` of its queues
// that are used, or an empty string if it can as far as it tells. A clause that stands after
// "steers in software: ".
std::string WhyNotSteered(const rte_eth_dev_info& device, bool is_pci, uint32_t queue_count,
                          uint32_t worker_count);

class ReceiveSideScaling {
 public:
  // For a device of which WhyNotSteered has nothing to say. `bucket_count` divides its table: entry
  // i leads to queue (i % bucket_count) % queue_count.
  ReceiveSideScaling(const rte_eth_dev_info& device, uint16_t queue_count, uint32_t bucket_count);

  // Before the device is configured. `configuration` is not used longer than this object lives.
  void Request(rte_eth_conf& configuration);

  // After each start of the device, which may have forgotten everything: sets key, hash functions
  // and table, reads them back and compares. The error is a reason like WhyNotSteered's; the device
  // then spreads packets somehow.
  net::Status Enforce(uint16_t device_id);

 private:
  static constexpr size_t kMaxKeyBytes = 64;

  net::Status SetHash(uint16_t device_id);
  net::Status CheckHash(uint16_t device_id) const;
  net::Status SetTable(uint16_t device_id) const;
  net::Status CheckTable(uint16_t device_id) const;
  uint16_t QueueOf(uint32_t entry) const {
    return static_cast<uint16_t>(entry % bucket_count_ % queue_count_);
  }

  const uint16_t queue_count_;
  const uint32_t bucket_count_;
  const uint16_t table_entries_;
  const uint8_t key_bytes_;
  std::array<uint8_t, kMaxKeyBytes> key_{};  // ours, and zeros where the device wants a longer one
};

}  // namespace steelyard::dpdk
