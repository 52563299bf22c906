// SPDX-License-Identifier: Apache-2.0
#include "core/forward/local_port.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "packet/box.h"

namespace steelyard::core {
namespace {

using net::Endpoint;
using net::FlowKey;
using net::L4Protocol;

class LocalPort : public testing::Test {
 protected:
  std::optional<Endpoint> Choose(const Endpoint& backend) {
    return ChooseLocalEndpoint(
        {box.snapshot, box.sessions(), box.worker(), 0, box.now_ns,
         static_cast<uint32_t>(box.now_ns / 1'000'000), ++home_bucket %= 128},
        service,
        {.local_addresses = addresses,
         .remote = backend,
         .protocol = L4Protocol::kTcp,
         .paired_with = paired_with,
         .steered_as_flow_to = steered_as_flow_to});
  }
  void Take(const Endpoint& local, const Endpoint& backend) {
    const FlowKey out(local, backend, L4Protocol::kTcp);
    const FlowKey in({test::kClient4.address, net::Be16(static_cast<uint16_t>(taken))},
                     {test::kClient4.address, net::Be16(static_cast<uint16_t>(taken >> 16))},
                     L4Protocol::kTcp);
    ++taken;
    ASSERT_NE(box.sessions().Insert({in, out}, {out.Reversed(), in.Reversed()}), kNoSession);
  }
  test::Box box{{.capacity = {140'000, 1}}};
  const ServiceCounters& counters() { return box.worker().services[service.slot]; }
  std::vector<net::IpAddress> addresses = {test::kLocal4};
  std::optional<net::IpAddress> paired_with;
  std::optional<Endpoint> steered_as_flow_to;
  Service service;
  uint32_t taken = 0;
  uint32_t home_bucket = 0;  // of the next choice but one
};

TEST_F(LocalPort, IsFreeAndNotPrivileged) {
  std::set<Endpoint> chosen;
  for (int i = 0; i < 20'000; ++i) {
    const auto local = Choose(test::Backend4(0));
    ASSERT_TRUE(local);
    EXPECT_GE(local->port.value(), kFirstLocalPort);
    EXPECT_EQ(local->address, test::kLocal4);
    ASSERT_TRUE(chosen.insert(*local).second) << "in use already";
    Take(*local, test::Backend4(0));
  }
}

TEST_F(LocalPort, NearlyEveryPortCanBeUsed) {
  const uint32_t all = 65536 - kFirstLocalPort;
  for (uint32_t i = 0; i < all * 98 / 100; ++i) {
    const auto local = Choose(test::Backend4(0));
    ASSERT_TRUE(local) << i;
    Take(*local, test::Backend4(0));
  }
  // The same ports again towards another backend.
  EXPECT_TRUE(Choose(test::Backend4(1)));
}

TEST_F(LocalPort, AllAddressesAreUsed) {
  addresses = {test::Address("10.0.2.100"), test::Address("10.0.2.101"),
               test::Address("10.0.2.102")};
  std::map<net::IpAddress, int> chosen;
  for (int i = 0; i < 3000; ++i) ++chosen[Choose(test::Backend4(0))->address];
  EXPECT_EQ(chosen.size(), 3u);
  for (const auto& [address, times] : chosen) EXPECT_NEAR(times, 1000, 200);
}

TEST_F(LocalPort, PairedSessionsLeaveFromOneAddressWhileItHasPorts) {
  addresses = {test::Address("10.0.2.100"), test::Address("10.0.2.101")};
  std::map<net::IpAddress, int> hosts_of;
  for (uint8_t host = 0; host < 40; ++host) {
    paired_with = test::Backend4(host).address;
    std::set<net::IpAddress> chosen;
    for (int i = 0; i < 50; ++i) chosen.insert(Choose(test::Backend4(0))->address);
    EXPECT_EQ(chosen.size(), 1u);
    ++hosts_of[*chosen.begin()];
  }
  EXPECT_EQ(hosts_of.size(), 2u);
  const net::IpAddress first = Choose(test::Backend4(0))->address;
  for (uint32_t port = kFirstLocalPort; port < 65536; ++port)
    Take({first, net::Be16(static_cast<uint16_t>(port))}, test::Backend4(0));
  for (int i = 0; i < 50; ++i) EXPECT_NE(Choose(test::Backend4(0))->address, first);
}

TEST_F(LocalPort, ExhaustionIsCountedCostsAreBoundedAndThenNothing) {
  for (uint32_t port = kFirstLocalPort; port < 65536; ++port)
    Take({test::kLocal4, net::Be16(static_cast<uint16_t>(port))}, test::Backend4(0));
  EXPECT_FALSE(Choose(test::Backend4(0)));
  EXPECT_EQ(counters().local_port_searches.value(), 1u);
  const uint64_t most_probes = counters().local_port_probes.value();
  EXPECT_LT(most_probes, 2000u);
  EXPECT_EQ(counters().local_port_long_searches.value(), 1u);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Choose(test::Backend4(0)));
  EXPECT_EQ(counters().local_port_probes.value(), most_probes) << "no search again";
  EXPECT_EQ(counters().local_ports_exhausted_packets.value(), 1001u);
  EXPECT_TRUE(Choose(test::Backend4(1))) << "towards another it is free";

  addresses.push_back(test::Address("10.0.2.101"));
  box.Pass(ExhaustedRemotes::kRememberedMs + 1);
  EXPECT_EQ(Choose(test::Backend4(0))->address, addresses[1]) << "a while later it is tried again";
}

// The warning comes before the end: at nine tenths long searches are common, at half they are not.
TEST_F(LocalPort, LongSearchesTellOfOccupancy) {
  const auto share_of_long_searches = [&](double occupancy) {
    while (taken < (65536 - kFirstLocalPort) * occupancy)
      Take(*Choose(test::Backend4(0)), test::Backend4(0));
    const uint64_t before = counters().local_port_long_searches.value();
    for (int i = 0; i < 2000; ++i) Choose(test::Backend4(0));
    return static_cast<double>(counters().local_port_long_searches.value() - before) / 2000;
  };
  EXPECT_LT(share_of_long_searches(0.5), 0.002);
  const double at_nine_tenths = share_of_long_searches(0.9);
  EXPECT_NEAR(at_nine_tenths, std::pow(0.9, kLongSearchProbes), 0.05);
}

TEST_F(LocalPort, LeadsToTheOwnerOfTheSession) {
  for (const uint32_t workers : {1u, 2u, 3u, 8u, 12u}) {
    box.snapshot.steering = std::make_shared<const Steering>(workers);
    const Steering& steering = *box.snapshot.steering;
    for (int i = 0; i < 2000; ++i) {
      const Endpoint local = *Choose(test::Backend4(0));
      const FlowKey reply(test::Backend4(0), local, L4Protocol::kTcp);
      ASSERT_EQ(steering.BucketOf(reply), home_bucket) << "while there are ports, to that bucket";
    }
  }
}

TEST_F(LocalPort, LeadsToTheOwnerWhenTheBucketIsUsedUp) {
  box.snapshot.steering = std::make_shared<const Steering>(4);
  const Steering& steering = *box.snapshot.steering;
  std::set<uint32_t> buckets;
  const uint32_t of_one_owner = (65536 - kFirstLocalPort) / 4;
  for (uint32_t i = 0; i < of_one_owner * 95 / 100; ++i) {
    home_bucket = 6;
    const auto local = Choose(test::Backend4(0));
    ASSERT_TRUE(local) << i;
    const uint32_t bucket = steering.BucketOf(FlowKey(test::Backend4(0), *local, L4Protocol::kTcp));
    ASSERT_EQ(steering.OwnerOf(bucket), steering.OwnerOf(7));
    buckets.insert(bucket);
    Take(*local, test::Backend4(0));
  }
  EXPECT_EQ(buckets.size(), 32u) << "all of the owner's";
}

TEST_F(LocalPort, LeadsToTheOwnerAsAnotherFlowDoes) {
  const Endpoint service_address = test::kVip4;
  steered_as_flow_to = service_address;
  box.snapshot.steering = std::make_shared<const Steering>(3);
  for (int i = 0; i < 2000; ++i) {
    const Endpoint local = *Choose(test::Backend4(0));
    const FlowKey client_flow(local, service_address, L4Protocol::kTcp);
    ASSERT_EQ(box.snapshot.steering->BucketOf(client_flow), home_bucket);
  }
}

TEST_F(LocalPort, NoneWithoutAddresses) {
  addresses.clear();
  EXPECT_FALSE(Choose(test::Backend4(0)));
}

}  // namespace
}  // namespace steelyard::core
