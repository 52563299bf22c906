// SPDX-License-Identifier: Apache-2.0
//
// Steering: which worker a flow belongs to, and which ports lead a flow to a worker. The Toeplitz
// hash falls into 128 buckets, by its lowest bits, as in the redirection table of a NIC; the table
// deals buckets out to workers in turn. So hardware that is given the same key and table agrees.
//
// The hash is linear over GF(2): H(flow with port p) = H(flow with port 0) ^ L(p), where L depends
// on the place of the port alone. With a key whose L has full rank on the bucket's bits, exactly
// 512 of the 65536 ports lead a given flow into a given bucket, and the n-th of them is two table
// lookups away (Krawczyk, "New hash functions for message authentication", 1995, for the
// linearity; DPDK's rte_thash_adjust_tuple is the same idea).
//
// Immutable after construction; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/toeplitz.h"
#include "net/address.h"
#include "net/flow_key.h"

namespace steelyard::core {

inline constexpr uint32_t kSteeringBuckets = 128;
inline constexpr uint32_t kPortsPerBucket = 65536 / kSteeringBuckets;

enum class FlowSide : uint8_t { kSource, kDestination };

// The part that the port on one side has in a flow's bucket. One for each side and family.
class PortSteering {
 public:
  PortSteering(const Toeplitz& hash, net::Family family, FlowSide side);

  uint32_t BucketOf(uint16_t port) const { return high_[port >> 8] ^ low_[port & 0xff]; }
  // The ports p with BucketOf(p) == bucket, by n below kPortsPerBucket.
  uint16_t PortOf(uint32_t bucket, uint32_t n) const {
    return static_cast<uint16_t>(first_[bucket] ^ kernel_high_[n >> 5] ^ kernel_low_[n & 31]);
  }

 private:
  std::array<uint8_t, 256> high_, low_;
  std::array<uint16_t, kSteeringBuckets> first_;
  std::array<uint16_t, 32> kernel_low_;
  std::array<uint16_t, kPortsPerBucket / 32> kernel_high_;
};

class Steering {
 public:
  // `table_entries`: of the smallest redirection table among the ports that steer in hardware; 64,
  // or at least kSteeringBuckets where there is none as small.
  explicit Steering(uint32_t worker_count, uint32_t table_entries = kSteeringBuckets);

  uint32_t worker_count() const { return worker_count_; }

  // Key is FlowKey4, FlowKey6 or FlowKey.
  template <typename Key>
  uint32_t HashOf(const Key& key) const {
    return hash_.Hash(key);
  }
  template <typename Key>
  uint32_t BucketOf(const Key& key) const {
    return HashOf(key) % kSteeringBuckets;
  }
  uint32_t OwnerOf(uint32_t bucket) const { return owners_[bucket]; }

  // The ports that `flow`, but for its port on that side, may have there. Valid as long as this is.
  class Ports {
   public:
    // The n-th port (n < kPortsPerBucket) by which the flow falls into that bucket.
    net::Be16 At(uint32_t bucket, uint32_t n) const {
      return net::Be16(ports_->PortOf(bucket ^ bucket_without_port_, n));
    }

   private:
    friend class Steering;
    const PortSteering* ports_;
    uint32_t bucket_without_port_;
  };
  Ports PortsOf(const net::FlowKey& flow, FlowSide side) const;

  // The buckets of one worker: OwnerOf(BucketAmong(owner, n)) == owner for all n below
  // BucketCount(owner), and there are no others.
  uint32_t BucketCount(uint32_t owner) const { return first_of_[owner + 1] - first_of_[owner]; }
  uint32_t BucketAmong(uint32_t owner, uint32_t n) const { return by_owner_[first_of_[owner] + n]; }

 private:
  const uint32_t worker_count_;
  const Toeplitz hash_;
  const std::array<PortSteering, 4> ports_;  // by family and side
  std::array<uint16_t, kSteeringBuckets> owners_;
  std::array<uint8_t, kSteeringBuckets> by_owner_;
  std::vector<uint8_t> first_of_;  // in by_owner_; one more than there are workers
};

std::shared_ptr<const Steering> SteeringOfOneWorker();

}  // namespace steelyard::core
