// SPDX-License-Identifier: Apache-2.0
//
// Source hash over clients; the laws of its table are in maglev_table_test.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/scheduler/scheduler_test_support.h"

namespace steelyard::core {
namespace {

constexpr uint32_t kClients = 100'000;

net::IpAddress Client(uint32_t number, bool is_v4) {
  if (is_v4) return net::Ipv4Address{net::Be32(0xc6330000 + number)};
  net::Ipv6Address address{{0x20, 0x01, 0x0d, 0xb8}};
  const net::Be32 low(number);
  std::memcpy(&address.bytes[4], &low, 4);  // a network each
  return address;
}

net::FlowKey FlowOf(const net::IpAddress& client, uint16_t client_port, uint16_t service_port = 80,
                    net::L4Protocol protocol = net::L4Protocol::kTcp) {
  return net::FlowKey({client, net::Be16(client_port)}, {client, net::Be16(service_port)},
                      protocol);
}

std::vector<uint32_t> Assignment(const std::vector<Backend>& backends, bool is_v4) {
  SchedulerUnderTest both(MakeSourceHash, backends);
  std::vector<uint32_t> assigned;
  for (uint32_t i = 0; i < kClients; ++i)
    assigned.push_back(both.Choose(FlowOf(Client(i, is_v4), 1024)));
  return assigned;
}

TEST(SourceHash, AllFlowsOfAClientGoToOneHost) {
  std::vector<Backend> backends = BackendsOfWeights({1, 2, 3, 4, 5, 0, 7});
  SchedulerUnderTest http(MakeSourceHash, backends);
  for (Backend& backend : backends) backend.endpoint.port = net::Be16(8443);
  SchedulerUnderTest https(MakeSourceHash, backends);
  for (const bool is_v4 : {false, true}) {
    for (uint32_t i = 0; i < 300; ++i) {
      const net::IpAddress client = Client(i, is_v4);
      const uint32_t chosen = http.Choose(FlowOf(client, 1));
      for (uint16_t port = 1; port < 60000; port = static_cast<uint16_t>(port + 997)) {
        EXPECT_EQ(http.Choose(FlowOf(client, port)), chosen);
        EXPECT_EQ(https.Choose(FlowOf(client, port, 443)), chosen);
        EXPECT_EQ(https.Choose(FlowOf(client, port, 443, net::L4Protocol::kUdp)), chosen);
      }
    }
  }
}

// 1% of the table (section 3.4 of the paper), and five standard deviations of the sample.
TEST(SourceHash, ClientsAreSharedByWeight) {
  for (const bool is_v4 : {false, true}) {
    for (const std::vector<uint32_t>& weights :
         {std::vector<uint32_t>{1, 1, 1}, {1, 2, 3, 4}, {100, 100, 1, 50}, {3, 0, 1}}) {
      std::vector<double> shares(weights.size());
      double sum = 0;
      for (const uint32_t weight : weights) sum += weight;
      for (const uint32_t chosen : Assignment(BackendsOfWeights(weights), is_v4))
        shares[chosen] += 1.0 / kClients;
      for (size_t i = 0; i < weights.size(); ++i) {
        const double due = weights[i] / sum;
        EXPECT_NEAR(shares[i], due, 0.01 * due + 5 * std::sqrt(due / kClients));
      }
    }
  }
}

TEST(SourceHash, FewClientsMoveWhenOneBackendLeaves) {
  for (const bool is_v4 : {false, true}) {
    for (const uint32_t count : {3u, 10u, 30u, 100u}) {
      std::vector<Backend> backends = BackendsOfWeights(std::vector<uint32_t>(count, 1));
      const auto before = Assignment(backends, is_v4);
      const uint32_t leaving = count / 2;
      backends[leaving].available = false;
      const auto after = Assignment(backends, is_v4);
      uint32_t moved = 0;
      for (uint32_t i = 0; i < kClients; ++i) {
        EXPECT_NE(after[i], leaving);
        moved += before[i] != leaving && before[i] != after[i];
      }
      EXPECT_LT(moved, 0.025 * kClients) << count;
    }
  }
}

}  // namespace
}  // namespace steelyard::core
