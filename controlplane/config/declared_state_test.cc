// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/declared_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace steelyard::controlplane {
namespace {

constexpr char kWhole[] = R"(# Everything a service can say.
local_addresses: [10.0.2.100, "fd00:2::100"]
services:
  - name: web
    address: 10.0.1.10
    port: 80
    protocol: tcp
    mode: full_nat
    scheduler: maglev
    local_addresses: [10.0.2.101]
    client_address: {carrier: toa, toa_kind: 200, toa_on_syn: true}
    timeouts: {tcp_syn_sent: 1s, tcp_syn_received: 2s, tcp_established: 1h, tcp_closing: 5m,
               tcp_time_wait: 3s, tcp_closed: 4s, udp: 1500ms}
    health_check: {type: http, http_path: /up, interval: 1s, timeout: 500ms, rise: 2, fall: 3,
                   port: 8080, http_host: example.org, http_expected_status: 204}
    persistence: {timeout: 10m, ipv4_prefix_length: 24, ipv6_prefix_length: 56}
    max_sessions: 4294967295
    backends:
      - {address: 10.0.2.11, port: 8080, weight: 0, admin_state: draining,
         priority: 3, max_sessions: 500}
      - {address: 10.0.2.12, port: 8080}
    clamp_mss: true
  - name: dns
    address: 10.0.1.10
    port: 53
    protocol: udp
    client_address: {carrier: proxy_v2, proxy_v2_udp: first}
    backends:
      - {address: 10.0.2.11, port: 53}
outbound_gateways:
  - name: office
    inside_prefixes: [10.0.3.0/24, "fd00:3::/64"]
    outside_addresses: [10.0.1.53, "fd00:1::53"]
    destinations: [198.51.100.0/24]
    protocols: [tcp, icmp]
    udp_mapping: endpoint_independent
    timeouts: {tcp_established: 124m, icmp: 90s}
    max_sessions: 1000
)";

// What belongs to another mode than the one above.
constexpr char kOfTunnels[] = R"(services:
  - name: web
    address: 10.0.1.10
    port: 80
    protocol: tcp
    mode: tunnel
    tunnel: {encapsulation: gue, gue_port: 6081, ttl: 63, source_prefixes: [10.0.2.64/26]}
    max_new_sessions_per_second: 5000
    backends: [{address: 10.0.2.11, port: 80, encapsulation: ipip}]
)";

std::string Faults(const std::string& yaml) {
  return FormatFaults("f", ParseDeclaredState(yaml).faults);
}

// A service of one line each, in which a test replaces a line.
std::string WithLine(const std::string& key, const std::string& replacement) {
  std::string yaml = "services:\n";
  for (const auto& [name, line] :
       std::vector<std::pair<std::string, std::string>>{{"name", "  - name: web"},
                                                        {"address", "    address: 10.0.1.10"},
                                                        {"port", "    port: 80"},
                                                        {"protocol", "    protocol: tcp"},
                                                        {"more", ""},
                                                        {"backends", "    backends: []"}})
    yaml += (name == key ? "    " + replacement : line) + '\n';
  return yaml;
}

using FieldSet = std::set<const google::protobuf::FieldDescriptor*>;

// The fields that are set, somewhere in the message, to something that is not their default.
void CollectFields(const google::protobuf::Message& message, FieldSet& found) {
  const auto& reflection = *message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const auto* field : fields) {
    found.insert(field);
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) CollectFields(reflection.GetMessage(message, field), found);
    for (int i = 0; field->is_repeated() && i < reflection.FieldSize(message, field); ++i)
      CollectFields(reflection.GetRepeatedMessage(message, field, i), found);
  }
}

void ExpectEveryField(const google::protobuf::Descriptor& type, const FieldSet& found) {
  for (int i = 0; i < type.field_count(); ++i) {
    EXPECT_TRUE(found.contains(type.field(i)))
        << type.field(i)->full_name() << " has no row in its table";
    if (const auto* message_type = type.field(i)->message_type())
      ExpectEveryField(*message_type, found);
  }
}

TEST(DeclaredState, EveryFieldOfTheSchemaCanBeDeclared) {
  const DeclaredState declared = ParseDeclaredState(kWhole);
  const DeclaredState of_tunnels = ParseDeclaredState(kOfTunnels);
  ASSERT_EQ(FormatFaults("f", declared.faults), "");
  ASSERT_EQ(FormatFaults("f", of_tunnels.faults), "");
  FieldSet found;
  CollectFields(declared.state, found);
  CollectFields(of_tunnels.state, found);
  ExpectEveryField(*v1::DesiredState::descriptor(), found);
}

TEST(DeclaredState, ValuesArriveAsWritten) {
  const v1::DesiredState state = ParseDeclaredState(kWhole).state;
  const v1::Service& web = state.services(0);
  EXPECT_EQ(state.local_addresses(1), "fd00:2::100");
  EXPECT_EQ(web.scheduler(), v1::SCHEDULER_MAGLEV);
  EXPECT_EQ(web.client_address().toa_kind(), 200u);
  EXPECT_EQ(web.timeouts().tcp_established_ms(), 3'600'000u);
  EXPECT_EQ(web.timeouts().udp_ms(), 1500u);
  EXPECT_EQ(web.health_check().timeout_ms(), 500u);
  EXPECT_EQ(web.backends(0).admin_state(), v1::ADMIN_STATE_DRAINING);
  EXPECT_EQ(web.backends(0).priority(), 3u);
  EXPECT_EQ(web.backends(0).max_sessions(), 500u);
  EXPECT_EQ(web.max_sessions(), 4'294'967'295u);
  EXPECT_EQ(web.persistence().timeout_ms(), 600'000u);
  EXPECT_EQ(web.persistence().ipv6_prefix_length(), 56u);
  const v1::OutboundGateway& office = state.outbound_gateways(0);
  EXPECT_EQ(office.inside_prefixes(1), "fd00:3::/64");
  EXPECT_EQ(office.protocols(1), v1::PROTOCOL_ICMP);
  EXPECT_EQ(office.udp_mapping(), v1::OutboundGateway::UDP_MAPPING_ENDPOINT_INDEPENDENT);
  EXPECT_EQ(office.timeouts().icmp_ms(), 90'000u);
}

TEST(DeclaredState, NoWeightIsNotWeightZero) {
  const v1::DesiredState state = ParseDeclaredState(kWhole).state;
  EXPECT_TRUE(state.services(0).backends(0).has_weight());
  EXPECT_FALSE(state.services(0).backends(1).has_weight());
}

TEST(DeclaredState, KnowsWhereEachValueStands) {
  const DeclaredState declared = ParseDeclaredState(kWhole);
  EXPECT_EQ(declared.source_map.Find("services[0].port"), (Position{6, 11}));
  EXPECT_EQ(declared.source_map.Find("services[0].backends[1].address"), (Position{21, 19}));
  EXPECT_EQ(declared.source_map.Find("local_addresses[1]"), (Position{2, 31}));
  EXPECT_EQ(declared.source_map.Find("services[0].backends[1].weight"), (Position{21, 9}));
}

TEST(DeclaredState, UnknownKeyNamesTheNearestOne) {
  EXPECT_EQ(Faults(WithLine("more", "shceduler: maglev")),
            "f:6:5: services[0].shceduler: unknown key, did you mean \"scheduler\"?\n");
  EXPECT_EQ(Faults("services: []\nxyzzy: 1\n"),
            "f:2:1: xyzzy: unknown key, the known ones are local_addresses, services, "
            "outbound_gateways\n");
}

TEST(DeclaredState, PortOutOfRange) {
  EXPECT_EQ(Faults(WithLine("port", "port: 70000")),
            "f:4:11: services[0].port: 70000 is not within 1 to 65535\n");
  EXPECT_EQ(Faults(WithLine("port", "port: 0")),
            "f:4:11: services[0].port: 0 is not within 1 to 65535\n");
  EXPECT_EQ(Faults(WithLine("port", "port: 99999999999999999999999")),
            "f:4:11: services[0].port: 99999999999999999999999 is not within 1 to 65535\n");
}

TEST(DeclaredState, WrongTypes) {
  const auto not_a_number = [](const std::string& found) {
    return "f:4:11: services[0].port: expected a whole number, found " + found + "\n";
  };
  EXPECT_EQ(Faults(WithLine("port", "port: http")), not_a_number("\"http\""));
  EXPECT_EQ(Faults(WithLine("port", "port: \"80\"")), not_a_number("\"80\""));
  EXPECT_EQ(Faults(WithLine("port", "port: -1")), not_a_number("\"-1\""));
  EXPECT_EQ(Faults(WithLine("port", "port: 8.0")), not_a_number("\"8.0\""));
  EXPECT_EQ(Faults(WithLine("port", "port: 080")), not_a_number("\"080\""));
  EXPECT_EQ(Faults(WithLine("port", "port: [80]")), not_a_number("a list"));
  EXPECT_EQ(Faults(WithLine("port", "port: {a: 80}")), not_a_number("a map"));
  EXPECT_EQ(Faults(WithLine("backends", "backends: 10.0.2.11")),
            "f:7:15: services[0].backends: expected a list, found \"10.0.2.11\"\n");
  EXPECT_EQ(Faults(WithLine("backends", "backends: [10.0.2.11]")),
            "f:7:16: services[0].backends[0]: expected a map, found \"10.0.2.11\"\n");
  EXPECT_EQ(Faults(WithLine("more", "client_address: {toa_on_syn: yes}")),
            "f:6:34: services[0].client_address.toa_on_syn: expected true or false, found "
            "\"yes\"\n");
  EXPECT_EQ(Faults(WithLine("more", "timeouts: 5s")),
            "f:6:15: services[0].timeouts: expected a map, found \"5s\"\n");
  EXPECT_EQ(Faults("[1, 2]"), "f:1:1: expected a map, found a list\n");
  EXPECT_EQ(Faults("42"), "f:1:1: expected a map, found \"42\"\n");
}

TEST(DeclaredState, NothingIsPlacedAtItsKey) {
  EXPECT_EQ(Faults(WithLine("address", "address:")),
            "f:3:5: services[0].address: expected text, found nothing\n");
  EXPECT_EQ(Faults("services:\n"), "f:1:1: services: expected a list, found nothing\n");
}

TEST(DeclaredState, MissingRequiredKeys) {
  EXPECT_EQ(Faults("services:\n  - name: web\n    protocol: tcp\n"),
            "f:2:5: services[0].address: this key is required\n"
            "f:2:5: services[0].port: this key is required\n"
            "f:2:5: services[0].backends: this key is required\n");
  EXPECT_EQ(Faults("local_addresses: []\n"), "f:1:1: services: this key is required\n");
}

TEST(DeclaredState, AGatewayNeedsBothItsSides) {
  EXPECT_EQ(Faults("services: []\noutbound_gateways: [{name: office}]\n"),
            "f:2:21: outbound_gateways[0].inside_prefixes: this key is required\n"
            "f:2:21: outbound_gateways[0].outside_addresses: this key is required\n");
}

TEST(DeclaredState, BadDurations) {
  EXPECT_EQ(Faults(WithLine("more", "timeouts: {udp: 30}")),
            "f:6:21: services[0].timeouts.udp: \"30\" is not a duration such as 500ms, 2s, 5m or "
            "1h\n");
  EXPECT_EQ(Faults(WithLine("more", "timeouts: {udp: 25h}")),
            "f:6:21: services[0].timeouts.udp: 25h is not within 1s to 24h\n");
  EXPECT_EQ(Faults(WithLine("more", "timeouts: {udp: 0s}")),
            "f:6:21: services[0].timeouts.udp: 0s is not within 1s to 24h\n");
}

TEST(DeclaredState, BadWordsListTheGoodOnes) {
  EXPECT_EQ(Faults(WithLine("protocol", "protocol: sctp")),
            "f:5:15: services[0].protocol: \"sctp\" is not one of icmp, tcp, udp\n");
  EXPECT_EQ(Faults(WithLine("more", "scheduler: rr")),
            "f:6:16: services[0].scheduler: \"rr\" is not one of weighted_round_robin, "
            "weighted_least_connections, maglev, round_robin, least_connections, source_hash\n");
}

TEST(DeclaredState, KeyTwice) {
  EXPECT_EQ(Faults(WithLine("more", "port: 81")),
            "f:6:5: services[0].port: this key stands here twice\n");
}

TEST(DeclaredState, KeyThatIsNoText) {
  EXPECT_EQ(Faults("services: []\n? [a]\n: 1\n"), "f:2:3: expected a key, found a list\n");
}

TEST(DeclaredState, SeveralDocuments) {
  EXPECT_EQ(Faults("services: []\n---\nservices: []\n"),
            "f:2:1: the file holds several documents\n");
}

TEST(DeclaredState, BrokenSyntax) {
  EXPECT_EQ(Faults("services: [1\n"), "f:2:1: not YAML: end of sequence flow not found\n");
  EXPECT_EQ(Faults("services:\n\t- name: web\n").substr(0, 14), "f:2:2: not YAM");
}

TEST(DeclaredState, EmptyFile) {
  const std::string message =
      "the file is empty; a state without services is written `services: []`\n";
  EXPECT_EQ(Faults(""), "f: " + message);
  EXPECT_EQ(Faults("# nothing yet\n"), "f: " + message);
  EXPECT_EQ(Faults("services: []\n"), "");
}

TEST(DeclaredState, MissingFileAndDirectory) {
  EXPECT_EQ(FormatFaults("gone.yaml", ReadDeclaredState("/nonexistent/gone.yaml").faults),
            "gone.yaml: No such file or directory\n");
  EXPECT_EQ(FormatFaults("/", ReadDeclaredState("/").faults), "/: Is a directory\n");
}

TEST(DeclaredState, TextOfTheTerminalIsHarmless) {
  EXPECT_EQ(Faults(WithLine("address", "address: \"\\e[2J\"")),
            "f:3:14: services[0].address: holds a character that is not printable ASCII\n");
  EXPECT_EQ(Faults(WithLine("protocol", "protocol: \"\\e\\n\"")),
            "f:5:15: services[0].protocol: \"??\" is not one of icmp, tcp, udp\n");
}

TEST(DeclaredState, AnchorsSaveTyping) {
  const DeclaredState declared = ParseDeclaredState(
      "services:\n"
      "  - {name: a, address: 10.0.1.1, port: 80, protocol: tcp, backends: &b [{address: 10.0.2.1, "
      "port: 80}]}\n"
      "  - {name: b, address: 10.0.1.2, port: 80, protocol: tcp, backends: *b}\n");
  EXPECT_EQ(FormatFaults("f", declared.faults), "");
  EXPECT_EQ(declared.state.services(1).backends(0).address(), "10.0.2.1");
}

TEST(DeclaredState, AllFaultsAtOnceAndInOrder) {
  DeclaredState declared = ParseDeclaredState(
      "local_addresses: [10.0.2.100]\n"
      "services:\n"
      "  - name: web\n"
      "    address: 10.0.1.10\n"
      "    port: 70000\n"
      "    protocol: sctp\n"
      "    backnds: []\n"
      "    backends: [{address: nonsense, port: 80}]\n"
      "  - {name: web, address: 10.0.1.11, port: 80, protocol: tcp, backends: []}\n");
  ValidateDeclaredState(declared, {[](const net::IpAddress&) { return false; }, {}});
  EXPECT_EQ(FormatFaults("f", declared.faults),
            "f:1:19: local_addresses[0]: 10.0.2.100 is not an address of this box\n"
            "f:5:11: services[0].port: 70000 is not within 1 to 65535\n"
            "f:6:15: services[0].protocol: \"sctp\" is not one of icmp, tcp, udp\n"
            "f:7:5: services[0].backnds: unknown key, did you mean \"backends\"?\n"
            "f:8:26: services[0].backends[0].address: 'nonsense' is not an IPv4 or IPv6 address\n"
            "f:9:12: services[1].name: \"web\" is already the name of services[0]\n");
}

TEST(DeclaredState, WholeFileIsValid) {
  for (const char* yaml : {kWhole, kOfTunnels}) {
    DeclaredState declared = ParseDeclaredState(yaml);
    ValidateDeclaredState(declared);
    EXPECT_EQ(FormatFaults("f", declared.faults), "");
  }
}

// Whatever the bytes: it comes back, and a fault stands inside the file.
TEST(DeclaredState, SurvivesMutatedYaml) {
  std::mt19937_64 random(42);
  const std::string whole = kWhole;
  const std::string spice =
      "{}[]:,-#&*!|>'\"%@`~? \n\t\0\x80\xff"
      "09az<.";
  for (int round = 0; round < 4000; ++round) {
    std::string yaml = whole;
    for (auto mutations = 1 + random() % 8; mutations > 0 && !yaml.empty(); --mutations) {
      const size_t at = random() % yaml.size();
      const size_t length = random() % 40;
      switch (random() % 4) {
        case 0:
          yaml[at] = spice[random() % spice.size()];
          break;
        case 1:
          yaml.erase(at, length);
          break;
        case 2:
          yaml.insert(at, 1, spice[random() % spice.size()]);
          break;
        case 3:
          yaml.insert(at, yaml.substr(random() % yaml.size(), length));
          break;
      }
    }
    DeclaredState declared = ParseDeclaredState(yaml);
    ValidateDeclaredState(declared);
    const auto lines = 1 + std::count(yaml.begin(), yaml.end(), '\n');
    for (const Fault& fault : declared.faults) {
      EXPECT_LE(fault.position.line, lines) << yaml;
      EXPECT_FALSE(fault.message.empty());
    }
  }
}

TEST(DeclaredState, SurvivesDeepAndCircularYaml) {
  EXPECT_NE(Faults("services: " + std::string(100'000, '[')), "");
  EXPECT_NE(Faults(std::string(100'000, '-')), "");
  EXPECT_NE(Faults("services: &a [*a, *a]\n"), "");
  EXPECT_NE(Faults("&a services: *a\n"), "");
}

}  // namespace
}  // namespace steelyard::controlplane
