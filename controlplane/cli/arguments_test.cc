// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/arguments.h"

#include <gtest/gtest.h>

#include "controlplane/cli/errors.h"
#include "controlplane/cli/format.h"

namespace steelyard::controlplane::cli {
namespace {

TEST(ParseEndpoint, GivesBackWhatFormatEndpointShows) {
  for (const std::string text : {"192.0.2.1:80", "[2001:db8::1]:65535", "[::1]:1"})
    EXPECT_EQ(FormatEndpoint(ParseEndpoint(text)), text);
}

TEST(ParseEndpoint, RefusesWhatIsNotOneAndNamesIt) {
  for (const std::string text :
       {"", ":", "80", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:-1",
        "192.0.2.1:8x", "192.0.2.1: 80", "::1:80", "[::1]", "[::1]80", "[::1", "[192.0.2.1]:80",
        "[]:80", "host:80", "192.0.2.256:80", "[::1]:99999999999999999999"}) {
    try {
      ParseEndpoint(text);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const UsageError& error) {
      EXPECT_EQ(std::string(error.what()).find("'" + text + "' is not"), 0u) << error.what();
    }
  }
}

TEST(ParseEndpoint, TakesTheNumbersThatItIsTold) {
  EXPECT_EQ(ParseEndpoint("192.0.2.1:0", {0, 65535}).port(), 0u);
  EXPECT_EQ(ParseEndpoint("[::1]:65535", {0, 65535}).port(), 65535u);
  EXPECT_THROW(ParseEndpoint("192.0.2.1:1", {0, 0}), UsageError);
}

TEST(ParseProtocol, KnowsThoseOfTheSchema) {
  EXPECT_EQ(ParseProtocol("icmp"), v1::PROTOCOL_ICMP);
  EXPECT_EQ(ParseProtocol("tcp"), v1::PROTOCOL_TCP);
  EXPECT_EQ(ParseProtocol("udp"), v1::PROTOCOL_UDP);
  for (const std::string text : {"", "sctp", "TCP", "unspecified", "6"})
    EXPECT_THROW(ParseProtocol(text), UsageError) << text;
}

TEST(ParseNumber, TakesWholeNumbersThatFit) {
  EXPECT_EQ(ParseNumber("--limit", "0"), 0u);
  EXPECT_EQ(ParseNumber("--limit", "18446744073709551615"), UINT64_MAX);
  for (const std::string text : {"", "-1", "+1", "1.5", "1e3", " 1", "1 ", "18446744073709551616"})
    EXPECT_THROW(ParseNumber("--limit", text), UsageError) << text;
}

}  // namespace
}  // namespace steelyard::controlplane::cli
