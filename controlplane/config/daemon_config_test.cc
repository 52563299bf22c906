// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/daemon_config.h"

#include <gtest/gtest.h>

namespace steelyard::controlplane {
namespace {

std::string Faults(const std::string& yaml) {
  return FormatFaults("f", ParseDaemonConfig(yaml).faults);
}

TEST(DaemonConfig, AnEmptyFileMeansTheDefaults) {
  for (const char* yaml : {"", "# services_file: x\n", "{}"}) {
    const DaemonConfigReading reading = ParseDaemonConfig(yaml);
    EXPECT_TRUE(reading.ok());
    EXPECT_EQ(reading.config.dataplane_socket, "/run/steelyard/dataplane.sock");
    EXPECT_EQ(reading.config.api_socket, "/run/steelyard/controlplane.sock");
    EXPECT_EQ(net::ToString(reading.config.metrics_address), "127.0.0.1:9464");
    EXPECT_EQ(reading.config.state_directory, "/var/lib/steelyard");
    EXPECT_EQ(reading.config.services_file, "");
  }
}

TEST(DaemonConfig, ReadsEveryKey) {
  const DaemonConfigReading reading = ParseDaemonConfig(
      "dataplane_socket: /a\napi_socket: /b\nmetrics_address: \"[::1]:80\"\n"
      "state_directory: /c\nservices_file: /d\n");
  ASSERT_EQ(FormatFaults("f", reading.faults), "");
  EXPECT_EQ(reading.config.dataplane_socket, "/a");
  EXPECT_EQ(reading.config.api_socket, "/b");
  EXPECT_EQ(net::ToString(reading.config.metrics_address), "[::1]:80");
  EXPECT_EQ(reading.config.state_directory, "/c");
  EXPECT_EQ(reading.config.services_file, "/d");
}

TEST(DaemonConfig, RefusesWhatIsNoEndpoint) {
  for (const char* text :
       {"127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "::1", "\"[127.0.0.1]:80\"",
        "\"::1:80\"", "localhost:80", "127.0.0.1:8x", "127.0.0.1:-1", "\":80\"", "\"[]:80\""})
    EXPECT_NE(Faults(std::string("metrics_address: ") + text), "") << text;
}

TEST(DaemonConfig, AddressOfAnyHostIsFine) {
  EXPECT_EQ(Faults("metrics_address: 0.0.0.0:9464"), "");
}

TEST(DaemonConfig, RefusesASocketPathThatDoesNotFit) {
  EXPECT_EQ(Faults("api_socket: /" + std::string(106, 'x')), "");
  EXPECT_EQ(Faults("api_socket: /" + std::string(107, 'x')),
            "f:1:13: api_socket: a path of 108 bytes: at most 107 are possible here\n");
  EXPECT_EQ(Faults("api_socket: \"\""), "f:1:13: api_socket: expected a path, found nothing\n");
}

TEST(DaemonConfig, UnknownKeyAndMissingFile) {
  EXPECT_EQ(Faults("api_sock: /a"), "f:1:1: api_sock: unknown key, did you mean \"api_socket\"?\n");
  EXPECT_EQ(FormatFaults("f", ReadDaemonConfig("/nonexistent/f").faults),
            "f: No such file or directory\n");
}

}  // namespace
}  // namespace steelyard::controlplane
