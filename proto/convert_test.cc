// SPDX-License-Identifier: Apache-2.0
#include "proto/convert.h"

#include <gtest/gtest.h>

namespace steelyard::proto {
namespace {

TEST(Convert, EndpointRoundTrips) {
  for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
    v1::Endpoint message;
    FromEndpoint(*ToEndpoint(address, 8080), message);
    EXPECT_EQ(message.address(), address);
    EXPECT_EQ(message.port(), 8080u);
  }
}

TEST(Convert, RefusesPortsOutOfRange) {
  EXPECT_FALSE(ToPort(0));
  EXPECT_FALSE(ToPort(70000));
  EXPECT_EQ(ToPort(70000).error().message, "port 70000 is not within 1 to 65535");
  EXPECT_TRUE(ToPort(65535));
}

TEST(Convert, ProtocolsRoundTripInBothFamilies) {
  for (const net::Family family : {net::Family::kIpv4, net::Family::kIpv6}) {
    for (const v1::Protocol protocol : {v1::PROTOCOL_ICMP, v1::PROTOCOL_TCP, v1::PROTOCOL_UDP})
      EXPECT_EQ(FromL4Protocol(*ToL4Protocol(protocol, family)), protocol);
    EXPECT_FALSE(ToL4Protocol(v1::PROTOCOL_UNSPECIFIED, family));
  }
}

TEST(Convert, IcmpNeedsAFamily) {
  EXPECT_EQ(*ToL4Protocol(v1::PROTOCOL_ICMP, net::Family::kIpv4), net::L4Protocol::kIcmp);
  EXPECT_EQ(*ToL4Protocol(v1::PROTOCOL_ICMP, net::Family::kIpv6), net::L4Protocol::kIcmpv6);
  EXPECT_EQ(ToL4Protocol(v1::PROTOCOL_ICMP).error().message, "protocol must be tcp or udp");
}

TEST(Convert, RefusesOtherProtocols) {
  EXPECT_FALSE(ToL4Protocol(v1::PROTOCOL_UNSPECIFIED));
  EXPECT_EQ(*ToL4Protocol(v1::PROTOCOL_UDP), net::L4Protocol::kUdp);
}

}  // namespace
}  // namespace steelyard::proto
