// SPDX-License-Identifier: Apache-2.0
#include "core/steering.h"

#include <algorithm>
#include <vector>

namespace steelyard::core {
namespace {

using net::Be16;
using net::Family;
using net::FlowKey;

FlowKey Zero(Family family) {
  const net::IpAddress address = family == Family::kIpv4 ? net::IpAddress(net::Ipv4Address{})
                                                         : net::IpAddress(net::Ipv6Address{});
  return {{address, {}}, {address, {}}, net::L4Protocol::kTcp};
}

// With nothing but that port, the hash of a flow is the port's part in it.
uint8_t BucketOfPortAlone(const Toeplitz& hash, Family family, FlowSide side, uint16_t port) {
  FlowKey key = Zero(family);
  (side == FlowSide::kSource ? key.source : key.destination).port = Be16(port);
  return static_cast<uint8_t>(hash.Hash(key) % kSteeringBuckets);
}

// A basis of the ports that change no bucket: nine of them when the rank is seven. Each is the
// lowest port that the ones before do not span.
std::vector<uint16_t> KernelBasis(const PortSteering& ports) {
  std::vector<uint16_t> basis;
  std::vector<uint16_t> span = {0};
  for (uint32_t number = 1; number < 65536; ++number) {
    const auto port = static_cast<uint16_t>(number);
    if (ports.BucketOf(port) != 0 || std::find(span.begin(), span.end(), port) != span.end())
      continue;
    basis.push_back(port);
    for (size_t i = 0, count = span.size(); i < count; ++i)
      span.push_back(static_cast<uint16_t>(span[i] ^ port));
  }
  return basis;
}

uint16_t Combine(const std::vector<uint16_t>& basis, size_t from, uint32_t selection) {
  uint16_t sum = 0;
  for (; selection != 0 && from < basis.size(); ++from, selection >>= 1)
    if (selection & 1) sum ^= basis[from];
  return sum;
}

}  // namespace

PortSteering::PortSteering(const Toeplitz& hash, Family family, FlowSide side) {
  for (uint32_t byte = 0; byte < 256; ++byte) {
    high_[byte] = BucketOfPortAlone(hash, family, side, static_cast<uint16_t>(byte << 8));
    low_[byte] = BucketOfPortAlone(hash, family, side, static_cast<uint16_t>(byte));
  }
  for (uint32_t port = 65536; port-- > 0;)
    first_[BucketOf(static_cast<uint16_t>(port))] = static_cast<uint16_t>(port);
  const std::vector<uint16_t> basis = KernelBasis(*this);
  for (uint32_t i = 0; i < kernel_low_.size(); ++i) kernel_low_[i] = Combine(basis, 0, i);
  for (uint32_t i = 0; i < kernel_high_.size(); ++i) kernel_high_[i] = Combine(basis, 5, i);
}

Steering::Steering(uint32_t worker_count, uint32_t table_entries)
    : worker_count_(worker_count),
      hash_(kSteeringKey),
      ports_{PortSteering(hash_, Family::kIpv4, FlowSide::kSource),
             PortSteering(hash_, Family::kIpv4, FlowSide::kDestination),
             PortSteering(hash_, Family::kIpv6, FlowSide::kSource),
             PortSteering(hash_, Family::kIpv6, FlowSide::kDestination)} {
  for (uint32_t bucket = 0; bucket < kSteeringBuckets; ++bucket)
    owners_[bucket] = static_cast<uint16_t>(bucket % table_entries % worker_count);
  uint8_t count = 0;
  for (uint32_t owner = 0; owner < worker_count; ++owner) {
    first_of_.push_back(count);
    for (uint32_t bucket = 0; bucket < kSteeringBuckets; ++bucket)
      if (owners_[bucket] == owner) by_owner_[count++] = static_cast<uint8_t>(bucket);
  }
  first_of_.push_back(count);
}

Steering::Ports Steering::PortsOf(const FlowKey& flow, FlowSide side) const {
  const bool is_source = side == FlowSide::kSource;
  FlowKey without_port = flow;
  (is_source ? without_port.source : without_port.destination).port = {};
  Ports result;
  result.ports_ = &ports_[(flow.is_v4() ? 0 : 2) + (is_source ? 0 : 1)];
  result.bucket_without_port_ = BucketOf(without_port);
  return result;
}

std::shared_ptr<const Steering> SteeringOfOneWorker() {
  static const auto steering = std::make_shared<const Steering>(1);
  return steering;
}

}  // namespace steelyard::core
