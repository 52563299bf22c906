// SPDX-License-Identifier: Apache-2.0
//
// The hash itself is checked against published vectors (toeplitz_test.cc) and against DPDK's
// software and a NIC's (dpdk/).
#include "core/steering.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace steelyard::core {
namespace {

using net::Be16;
using net::Family;
using net::FlowKey;

FlowKey RandomFlow(std::mt19937_64& random, Family family) {
  const auto endpoint = [&]() -> net::Endpoint {
    const Be16 port(static_cast<uint16_t>(random()));
    if (family == Family::kIpv4)
      return {net::Ipv4Address{net::Be32(static_cast<uint32_t>(random()))}, port};
    net::Ipv6Address address;
    for (uint8_t& byte : address.bytes) byte = static_cast<uint8_t>(random());
    address.bytes[0] = 0x20;
    return {address, port};
  };
  return {endpoint(), endpoint(), net::L4Protocol::kTcp};
}

Be16& PortOn(FlowKey& flow, FlowSide side) {
  return side == FlowSide::kSource ? flow.source.port : flow.destination.port;
}

TEST(Steering, EveryBucketHasItsShareOfPortsOnEitherSideOfEitherFamily) {
  std::mt19937_64 random(1);
  const Steering steering(1);
  for (const Family family : {Family::kIpv4, Family::kIpv6})
    for (const FlowSide side : {FlowSide::kSource, FlowSide::kDestination}) {
      FlowKey flow = RandomFlow(random, family);
      const Steering::Ports ports = steering.PortsOf(flow, side);
      std::set<uint16_t> all;
      for (uint32_t bucket = 0; bucket < kSteeringBuckets; ++bucket)
        for (uint32_t n = 0; n < kPortsPerBucket; ++n) {
          PortOn(flow, side) = ports.At(bucket, n);
          ASSERT_EQ(steering.BucketOf(flow), bucket);
          all.insert(PortOn(flow, side).value());
        }
      EXPECT_EQ(all.size(), 65536u) << "each port once";
    }
}

TEST(Steering, PortsLeadAnyFlowWhereTheyAreToldTo) {
  std::mt19937_64 random(2);
  const Steering steering(4);
  for (int i = 0; i < 100'000; ++i) {
    FlowKey flow = RandomFlow(random, i & 1 ? Family::kIpv4 : Family::kIpv6);
    const FlowSide side = i & 2 ? FlowSide::kSource : FlowSide::kDestination;
    const auto bucket = static_cast<uint32_t>(random() % kSteeringBuckets);
    PortOn(flow, side) = steering.PortsOf(flow, side).At(bucket, random() % kPortsPerBucket);
    ASSERT_EQ(steering.BucketOf(flow), bucket);
  }
}

TEST(Steering, BucketsAreDealtOutEvenlyAndEachHasOneOwner) {
  for (const uint32_t table_entries : {64u, 128u, 512u})
    for (const uint32_t workers : {1u, 2u, 3u, 7u, 8u, 12u, 33u, 64u}) {
      const Steering steering(workers, table_entries);
      std::set<uint32_t> seen;
      const uint32_t dealt = std::min(table_entries, kSteeringBuckets);
      for (uint32_t owner = 0; owner < workers; ++owner) {
        EXPECT_GE(steering.BucketCount(owner), dealt / workers);
        for (uint32_t n = 0; n < steering.BucketCount(owner); ++n) {
          const uint32_t bucket = steering.BucketAmong(owner, n);
          EXPECT_EQ(steering.OwnerOf(bucket), owner);
          EXPECT_TRUE(seen.insert(bucket).second);
        }
      }
      EXPECT_EQ(seen.size(), kSteeringBuckets);
    }
}

TEST(Steering, SmallTablesRepeat) {
  const Steering steering(3, 64);
  for (uint32_t bucket = 0; bucket < 64; ++bucket) {
    EXPECT_EQ(steering.OwnerOf(bucket), bucket % 3);
    EXPECT_EQ(steering.OwnerOf(bucket + 64), bucket % 3);
  }
}

}  // namespace
}  // namespace steelyard::core
