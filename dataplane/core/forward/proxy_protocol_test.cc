// SPDX-License-Identifier: Apache-2.0
//
// The header's bytes; what becomes of whole connections is in test/packet/proxy_protocol_test.cc.
#include "core/forward/proxy_protocol.h"

#include <gtest/gtest.h>

#include "packet/packet_builder.h"

namespace steelyard::core {
namespace {

using net::L4Protocol;
using test::Bytes;

Bytes HeaderOf(const net::FlowKey& client_flow) {
  Bytes bytes(kMaxProxyHeaderBytes);
  bytes.resize(WriteProxyHeader(client_flow, bytes.data()));
  return bytes;
}

// Byte by byte as section 2.2 lays them out.
TEST(ProxyProtocol, HeaderOfATcpClientOverIpv4) {
  const Bytes expected = {
      0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,  // signature
      0x21,                                                                    // version 2, PROXY
      0x11,                                                                    // TCP over IPv4
      0,    12,                                                                // bytes that follow
      198,  51,   100,  7,                                                     // from
      10,   0,    1,    10,                                                    // to
      0x9c, 0x40,                                                              // port 40000
      0x01, 0xbb,                                                              // port 443
  };
  EXPECT_EQ(
      HeaderOf({test::Host("198.51.100.7", 40000), test::Host("10.0.1.10", 443), L4Protocol::kTcp}),
      expected);
}

TEST(ProxyProtocol, EveryFamilyAndProtocolHasItsFormAndLength) {
  for (const bool v4 : {true, false})
    for (const L4Protocol protocol : {L4Protocol::kTcp, L4Protocol::kUdp}) {
      const net::Endpoint client = v4 ? test::Host("203.0.113.9", 1) : test::Host("2001:db8::9", 1);
      const net::Endpoint vip = v4 ? test::Host("192.0.2.1", 65535) : test::Host("fd00::1", 65535);
      const Bytes header = HeaderOf({client, vip, protocol});
      EXPECT_EQ(header, test::ProxyHeader(client, vip, static_cast<uint8_t>(protocol)));
      EXPECT_EQ(header.size(), ProxyHeaderBytes(client.address.family()));
      EXPECT_EQ(header.size(), 16u + test::Get16(header, 14));
    }
}

}  // namespace
}  // namespace steelyard::core
