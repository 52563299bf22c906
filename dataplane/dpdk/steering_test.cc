// SPDX-License-Identifier: Apache-2.0
//
// Our steering against DPDK's software RSS, which is what NICs' is checked against.
#include "core/steering.h"

#include <gtest/gtest.h>
#include <rte_config.h>
#include <rte_thash.h>

#include <cstring>
#include <random>
#include <vector>

namespace steelyard::dpdk {
namespace {

using core::FlowSide;

// In the host's byte order a word at a time, as rte_softrss takes its input.
std::vector<uint32_t> WordsOf(const net::FlowKey& key) {
  std::vector<uint32_t> words;
  const auto add = [&](const uint8_t* bytes, size_t count) {
    for (size_t i = 0; i < count; i += 4) {
      net::Be32 word;
      std::memcpy(&word, bytes + i, 4);
      words.push_back(word.value());
    }
  };
  for (const net::IpAddress* address : {&key.source.address, &key.destination.address})
    if (key.is_v4())
      add(address->v6().bytes.data() + 12, 4);
    else
      add(address->v6().bytes.data(), 16);
  words.push_back(uint32_t{key.source.port.value()} << 16 | key.destination.port.value());
  return words;
}

uint32_t SoftRss(const net::FlowKey& key) {
  std::vector<uint32_t> words = WordsOf(key);
  return rte_softrss(words.data(), static_cast<uint32_t>(words.size()), core::kSteeringKey.data());
}

net::FlowKey RandomFlow(std::mt19937_64& random, bool is_v4) {
  const auto endpoint = [&]() -> net::Endpoint {
    const net::Be16 port(static_cast<uint16_t>(random()));
    if (is_v4) return {net::Ipv4Address{net::Be32(static_cast<uint32_t>(random()))}, port};
    net::Ipv6Address address;
    for (uint8_t& byte : address.bytes) byte = static_cast<uint8_t>(random());
    return {address, port};
  };
  return {endpoint(), endpoint(), net::L4Protocol::kTcp};
}

// Whichever way to the hash this CPU takes, and the way that there always is.
TEST(SteeringAgainstDpdk, HashesAreTheSame) {
  std::mt19937_64 random(1);
  const core::Steering steering(4);
  const core::Toeplitz table(core::kSteeringKey, core::Toeplitz::Way::kTable);
  for (int i = 0; i < 200'000; ++i) {
    const net::FlowKey flow = RandomFlow(random, i & 1);
    ASSERT_EQ(steering.HashOf(flow), SoftRss(flow)) << i;
    ASSERT_EQ(table.Hash(flow), SoftRss(flow)) << i;
  }
}

TEST(SteeringAgainstDpdk, ChosenPortsLeadWhereTheyAreMeantTo) {
  std::mt19937_64 random(2);
  const core::Steering steering(4);
  for (int i = 0; i < 200'000; ++i) {
    net::FlowKey flow = RandomFlow(random, i & 1);
    const FlowSide side = i & 2 ? FlowSide::kSource : FlowSide::kDestination;
    const auto bucket = static_cast<uint32_t>(random() % core::kSteeringBuckets);
    const net::Be16 port =
        steering.PortsOf(flow, side).At(bucket, random() % core::kPortsPerBucket);
    (side == FlowSide::kSource ? flow.source : flow.destination).port = port;
    ASSERT_EQ(SoftRss(flow) % core::kSteeringBuckets, bucket) << i;
  }
}

}  // namespace
}  // namespace steelyard::dpdk
