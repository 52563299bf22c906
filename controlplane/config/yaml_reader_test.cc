// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/yaml_reader.h"

#include <gtest/gtest.h>

#include "model.pb.h"

namespace steelyard::controlplane {
namespace {

const FieldTable<v1::Backend> kTable = {
    {"address", kRequired, Text(&v1::Backend::mutable_address)},
    {"port", kOptional, Number(&v1::Backend::set_port, Range{5, 10})},
    {"admin_state", kOptional, Enum(&v1::Backend::set_admin_state)},
};

struct Outcome {
  v1::Backend backend;
  std::string faults;
};

Outcome Read(const std::string& yaml) {
  Reading reading;
  Outcome outcome;
  const YamlDocument document(yaml, reading.faults);
  if (document.root() != nullptr)
    ReadMessage(YamlValue(document, reading), kTable, outcome.backend);
  outcome.faults = FormatFaults("f", reading.faults);
  return outcome;
}

TEST(YamlReader, ARowReadsItsKey) {
  const Outcome outcome = Read("{port: 7, address: x, admin_state: draining}");
  EXPECT_EQ(outcome.faults, "");
  EXPECT_EQ(outcome.backend.address(), "x");
  EXPECT_EQ(outcome.backend.port(), 7u);
  EXPECT_EQ(outcome.backend.admin_state(), v1::ADMIN_STATE_DRAINING);
}

TEST(YamlReader, RangesIncludeTheirEnds) {
  for (int port = 0; port < 20; ++port)
    EXPECT_EQ(Read("{address: x, port: " + std::to_string(port) + "}").faults.empty(),
              port >= 5 && port <= 10)
        << port;
}

TEST(YamlReader, AFaultyValueLeavesTheOthers) {
  const Outcome outcome = Read("{address: x, port: 11, admin_state: enabled}");
  EXPECT_EQ(outcome.faults, "f:1:20: port: 11 is not within 5 to 10\n");
  EXPECT_EQ(outcome.backend.port(), 0u);
  EXPECT_EQ(outcome.backend.admin_state(), v1::ADMIN_STATE_ENABLED);
}

TEST(YamlReader, SuggestsOnlyWhatIsNear) {
  EXPECT_EQ(Read("{address: x, prot: 7}").faults,
            "f:1:14: prot: unknown key, did you mean \"port\"?\n");
  EXPECT_EQ(Read("{address: x, weight: 7}").faults,
            "f:1:14: weight: unknown key, the known ones are address, port, admin_state\n");
}

TEST(YamlReader, AHugeKeyIsCut) {
  EXPECT_LT(Read("{address: x, ? " + std::string(1'000'000, 'k') + " : 7}").faults.size(), 500u);
}

TEST(YamlReader, AListOfWordsKeepsThePlacesOfThoseItDoesNotKnow) {
  const FieldTable<v1::OutboundGateway> table = {
      {"protocols", kRequired, EnumList(&v1::OutboundGateway::add_protocols)}};
  Reading reading;
  v1::OutboundGateway gateway;
  const YamlDocument document("{protocols: [udp, sctp, tcp]}", reading.faults);
  ASSERT_NE(document.root(), nullptr);
  ReadMessage(YamlValue(document, reading), table, gateway);
  EXPECT_EQ(FormatFaults("f", reading.faults),
            "f:1:19: protocols[1]: \"sctp\" is not one of icmp, tcp, udp\n");
  ASSERT_EQ(gateway.protocols_size(), 3);
  EXPECT_EQ(gateway.protocols(0), v1::PROTOCOL_UDP);
  EXPECT_EQ(gateway.protocols(1), v1::PROTOCOL_UNSPECIFIED);
  EXPECT_EQ(gateway.protocols(2), v1::PROTOCOL_TCP);
}

TEST(YamlReader, FilesAreReadWhole) {
  EXPECT_EQ(ReadFile("/nonexistent").error().message, "No such file or directory");
  EXPECT_TRUE(ReadFile("/proc/self/status"));
}

}  // namespace
}  // namespace steelyard::controlplane
