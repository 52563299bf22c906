// SPDX-License-Identifier: Apache-2.0
#include "core/forward/local_port.h"

#include <gtest/gtest.h>

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
    return ChooseLocalEndpoint({box.snapshot, box.sessions(), box.worker(), 0, box.now_ns, 0},
                               addresses, backend, L4Protocol::kTcp);
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
  std::vector<net::IpAddress> addresses = {test::kLocal4};
  uint32_t taken = 0;
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

TEST_F(LocalPort, NoneWithoutAddresses) {
  addresses.clear();
  EXPECT_FALSE(Choose(test::Backend4(0)));
}

}  // namespace
}  // namespace steelyard::core
