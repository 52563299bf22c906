// SPDX-License-Identifier: Apache-2.0
//
// Every command against a control plane on a unix socket: what it asks, what it prints, and with
// which status it exits.
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "controlplane/cli/errors.h"
#include "controlplane/cli/fake_control_plane.h"
#include "controlplane/cli/run.h"

namespace steelyard::controlplane::cli {
namespace {

constexpr char kState[] = R"(local_addresses: [10.0.2.100]
services:
  - name: web
    address: 10.0.1.10
    port: 80
    protocol: tcp
    backends:
      - {address: 10.0.2.11, port: 80}
      - {address: 10.0.2.12, port: 80, weight: 3}
)";

uint64_t AgoMs(uint64_t ms) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  return static_cast<uint64_t>(now.count()) - ms;
}

class CliTest : public testing::Test {
 protected:
  int Do(const std::vector<std::string>& words, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    const int exit_code = RunSteelyardctl(words, daemon_.socket(), {in, out, err});
    out_ = out.str();
    err_ = err.str();
    return exit_code;
  }

  std::string WriteState(const std::string& yaml) {
    const std::string path = daemon_.directory() + "/services.yaml";
    std::ofstream(path) << yaml;
    return path;
  }

  template <typename Message>
  Message JsonOutput() {
    Message message;
    const auto status = google::protobuf::util::JsonStringToMessage(out_, &message);
    EXPECT_TRUE(status.ok()) << status.ToString() << "\n" << out_;
    return message;
  }

  void LayServices() {
    daemon_.services_response.set_generation(3);
    v1::ServiceStatus& status = *daemon_.services_response.add_services();
    v1::Service& service = *status.mutable_service();
    service.set_name("web");
    service.set_address("10.0.1.10");
    service.set_port(80);
    service.set_protocol(v1::PROTOCOL_TCP);
    service.set_mode(v1::FORWARDING_MODE_FULL_NAT);
    service.set_scheduler(v1::SCHEDULER_MAGLEV);
    service.mutable_client_address()->set_carrier(v1::ClientAddress::CARRIER_TOA);
    service.mutable_client_address()->set_toa_kind(254);
    service.mutable_timeouts()->set_tcp_established_ms(350'000);
    service.mutable_persistence()->set_timeout_ms(300'000);
    service.mutable_persistence()->set_ipv4_prefix_length(24);
    service.set_max_sessions(1000);
    v1::HealthCheck& check = *service.mutable_health_check();
    check.set_type(v1::HealthCheck::TYPE_HTTP);
    check.set_http_path("/up");
    check.set_interval_ms(1000);
    check.set_timeout_ms(500);
    check.set_rise(2);
    check.set_fall(3);
    LayBackend(status, "10.0.2.11", v1::HEALTH_UP, "HTTP status 200");
    LayBackend(status, "10.0.2.12", v1::HEALTH_DOWN, "connection refused");
    v1::BackendCounters& counters = *status.mutable_backends(0)->mutable_counters();
    counters.set_sessions_active(7);
    counters.mutable_to_backend()->set_bytes(1536);
    counters.mutable_to_client()->set_bytes(3 << 20);
    status.mutable_backends(1)->mutable_counters();
    status.mutable_backends(1)->mutable_backend()->set_priority(5);
    status.mutable_backends(1)->mutable_backend()->set_max_sessions(40);
  }

  void LayGateway() {
    v1::OutboundGatewayStatus& status = *daemon_.gateways_response.add_outbound_gateways();
    v1::OutboundGateway& gateway = *status.mutable_outbound_gateway();
    gateway.set_name("office");
    gateway.add_inside_prefixes("10.0.3.0/24");
    gateway.add_inside_prefixes("10.0.4.0/24");
    gateway.add_outside_addresses("10.0.1.53");
    gateway.add_protocols(v1::PROTOCOL_TCP);
    gateway.add_protocols(v1::PROTOCOL_ICMP);
    gateway.set_udp_mapping(v1::OutboundGateway::UDP_MAPPING_ENDPOINT_INDEPENDENT);
    gateway.mutable_timeouts()->set_icmp_ms(90'000);
    gateway.set_max_sessions(40);
    v1::OutboundGatewayCounters& counters = *status.mutable_counters();
    counters.mutable_to_outside()->set_packets(3);
    counters.mutable_to_outside()->set_bytes(1536);
    counters.mutable_to_inside()->set_packets(4);
    counters.mutable_to_inside()->set_bytes(3 << 20);
    counters.set_sessions_active(7);
    counters.set_sessions_created(8);
    counters.set_session_limit_packets(9);
    counters.mutable_local_ports()->set_searches(11);
    counters.mutable_local_ports()->set_probes(12);
    counters.mutable_local_ports()->set_long_searches(5);
    counters.mutable_local_ports()->set_exhausted_packets(6);
  }

  static void LayBackend(v1::ServiceStatus& status, const std::string& address, v1::Health health,
                         const std::string& reason) {
    v1::BackendStatus& backend = *status.add_backends();
    backend.mutable_backend()->set_address(address);
    backend.mutable_backend()->set_port(80);
    backend.mutable_backend()->set_weight(1);
    backend.mutable_backend()->set_admin_state(v1::ADMIN_STATE_ENABLED);
    backend.set_health(health);
    backend.set_reason(reason);
    backend.set_since_unix_ms(AgoMs(2 * 3'600'000 + 30'000));
    *status.mutable_service()->add_backends() = backend.backend();
  }

  static v1::Session MakeSession(const std::string& client) {
    v1::Session session;
    session.set_protocol(v1::PROTOCOL_TCP);
    session.set_service("web");
    session.mutable_client()->set_address(client);
    session.mutable_client()->set_port(40000);
    session.mutable_virtual_()->set_address("10.0.1.10");
    session.mutable_virtual_()->set_port(80);
    session.set_state("established");
    session.set_idle_ms(1500);
    return session;
  }

  void ExpectLine(const std::string& line) {
    EXPECT_NE(("\n" + out_).find("\n" + line + "\n"), std::string::npos)
        << "no line '" << line << "' in:\n"
        << out_;
  }

  FakeControlPlane daemon_;
  std::string out_;
  std::string err_;
};

TEST_F(CliTest, ApplySendsTheFileAndShowsTheChanges) {
  daemon_.apply_response.set_generation(7);
  daemon_.apply_response.set_pushed(true);
  v1::Change& added = *daemon_.apply_response.add_changes();
  added.set_kind(v1::Change::KIND_ADDED);
  added.set_path("services[web].backends[10.0.2.12:80]");
  added.set_after("weight 3");
  v1::Change& changed = *daemon_.apply_response.add_changes();
  changed.set_kind(v1::Change::KIND_CHANGED);
  changed.set_path("services[web].port");
  changed.set_before("80");
  changed.set_after("81");
  v1::Change& removed = *daemon_.apply_response.add_changes();
  removed.set_kind(v1::Change::KIND_REMOVED);
  removed.set_path("services[old]");
  removed.set_before("10.0.1.9:80 tcp");

  EXPECT_EQ(Do({"apply", "-f", WriteState(kState), "--expected-generation", "6"}), kOk) << err_;
  EXPECT_EQ(out_,
            "+ services[web].backends[10.0.2.12:80]: weight 3\n"
            "~ services[web].port: 80 -> 81\n"
            "- services[old]: 10.0.1.9:80 tcp\n"
            "generation 7 is in force\n");
  EXPECT_EQ(err_, "");
  EXPECT_FALSE(daemon_.apply_request.dry_run());
  EXPECT_EQ(daemon_.apply_request.expected_generation(), 6u);
  ASSERT_EQ(daemon_.apply_request.state().services_size(), 1);
  EXPECT_EQ(daemon_.apply_request.state().services(0).backends(1).weight(), 3u);
}

TEST_F(CliTest, ApplyReadsStandardInput) {
  EXPECT_EQ(Do({"apply", "-f", "-"}, kState), kOk) << err_;
  EXPECT_EQ(daemon_.apply_request.state().services(0).name(), "web");
  EXPECT_EQ(Do({"apply", "-f", "-"}, "services: 5\n"), kError);
  EXPECT_EQ(err_.find("<stdin>:1:11: "), 0u) << err_;
}

TEST_F(CliTest, ApplySaysWhenNothingChangedOrTheDataplaneIsAway) {
  daemon_.apply_response.set_generation(6);
  EXPECT_EQ(Do({"apply", "-f", WriteState(kState)}), kOk);
  EXPECT_EQ(out_, "generation 6 stays in force: no differences\n");
  EXPECT_NE(err_.find("the dataplane is away"), std::string::npos);
}

TEST_F(CliTest, FaultsOfTheFileAreAllShownAndNothingIsSent) {
  std::string yaml = kState;
  yaml.replace(yaml.find("port: 80\n"), 8, "port: 70000");
  yaml += "colour: blue\n";
  const std::string path = WriteState(yaml);
  for (const char* command : {"apply", "diff"}) {
    EXPECT_EQ(Do({command, "-f", path}), kError);
    EXPECT_NE(err_.find(path + ":5:11: "), std::string::npos) << err_;
    EXPECT_NE(err_.find("70000"), std::string::npos) << err_;
    EXPECT_NE(err_.find(path + ":10:1: "), std::string::npos) << err_;
    EXPECT_NE(err_.find("has 2 errors; nothing was changed"), std::string::npos) << err_;
    EXPECT_EQ(out_, "");
  }
  EXPECT_EQ(daemon_.calls, 0);
}

TEST_F(CliTest, AMissingFileIsNamed) {
  EXPECT_EQ(Do({"apply", "-f", "/nonexistent/services.yaml"}), kError);
  EXPECT_NE(err_.find("/nonexistent/services.yaml"), std::string::npos) << err_;
}

TEST_F(CliTest, ViolationsOfTheDaemonGetTheirPlaceInTheFile) {
  v1::Violation& second = *daemon_.apply_response.add_violations();
  second.set_path("services[0].backends[1].weight");
  second.set_message("too heavy");
  v1::Violation& first = *daemon_.apply_response.add_violations();
  first.set_path("local_addresses[0]");
  first.set_message("is not on the box");
  const std::string path = WriteState(kState);
  EXPECT_EQ(Do({"apply", "-f", path}), kError);
  EXPECT_EQ(err_, path + ":1:19: local_addresses[0]: is not on the box\n" + path +
                      ":9:48: services[0].backends[1].weight: too heavy\n" +
                      "steelyardctl: " + path + " has 2 errors; nothing was changed\n");
  EXPECT_EQ(out_, "");
}

TEST_F(CliTest, AGenerationConflictExitsWith4) {
  daemon_.status = {grpc::StatusCode::ABORTED, "generation 9 is in force, not 8"};
  EXPECT_EQ(Do({"apply", "-f", WriteState(kState), "--expected-generation", "8"}), kConflict);
  EXPECT_EQ(err_, "steelyardctl: generation 9 is in force, not 8\n");
}

TEST_F(CliTest, DiffIsADryRunAndExitsWith0EitherWay) {
  EXPECT_EQ(Do({"diff", "-f", WriteState(kState)}), kOk);
  EXPECT_EQ(out_, "no differences\n");
  EXPECT_EQ(err_, "");
  EXPECT_TRUE(daemon_.apply_request.dry_run());
  v1::Change& change = *daemon_.apply_response.add_changes();
  change.set_kind(v1::Change::KIND_REMOVED);
  change.set_path("services[old]");
  change.set_before("10.0.1.9:80");
  EXPECT_EQ(Do({"diff", "-f", WriteState(kState)}), kOk);
  EXPECT_EQ(out_, "- services[old]: 10.0.1.9:80\n");
}

TEST_F(CliTest, ServiceList) {
  LayServices();
  EXPECT_EQ(Do({"service", "list"}), kOk) << err_;
  EXPECT_EQ(daemon_.services_request.name(), "");
  EXPECT_EQ(
      out_,
      "NAME  PROTOCOL  ADDRESS       MODE      SCHEDULER  BACKENDS  SESSIONS  TO BACKENDS  TO "
      "CLIENTS\n"
      "web   tcp       10.0.1.10:80  full_nat  maglev     1/2 up           7      1.5 KiB     "
      "3.0 MiB\n");
}

TEST_F(CliTest, ServiceShow) {
  LayServices();
  EXPECT_EQ(Do({"service", "show", "web"}), kOk) << err_;
  EXPECT_EQ(daemon_.services_request.name(), "web");
  ExpectLine("address:         10.0.1.10:80");
  ExpectLine("client address:  toa, option 254");
  ExpectLine("timeouts:        tcp_established 350s");
  ExpectLine("persistence:     5m, by /24");
  ExpectLine("max sessions:    1000");
  ExpectLine("health check:    http /up, every 1s, timeout 500ms, rise 2, fall 3");
  EXPECT_NE(out_.find("10.0.2.12:80"), std::string::npos);
}

TEST_F(CliTest, ServiceShowNamesTheCarrier) {
  LayServices();
  v1::Service& service = *daemon_.services_response.mutable_services(0)->mutable_service();
  service.mutable_client_address()->set_carrier(v1::ClientAddress::CARRIER_PROXY_V2);
  EXPECT_EQ(Do({"service", "show", "web"}), kOk) << err_;
  ExpectLine("client address:  proxy_v2");
  service.mutable_client_address()->set_proxy_v2_udp(v1::ClientAddress::PROXY_V2_UDP_FIRST);
  EXPECT_EQ(Do({"service", "show", "web"}), kOk) << err_;
  ExpectLine("client address:  proxy_v2, in first datagram");
}

TEST_F(CliTest, AnUnknownServiceExitsWith3) {
  daemon_.status = {grpc::StatusCode::NOT_FOUND, "no service 'wbe'"};
  for (const std::vector<std::string>& words : {std::vector<std::string>{"service", "show", "wbe"},
                                                {"gateway", "show", "wbe"},
                                                {"backend", "list", "wbe"},
                                                {"session", "list", "--service", "wbe"}}) {
    EXPECT_EQ(Do(words), kNotFound);
    EXPECT_EQ(err_, "steelyardctl: no service 'wbe'\n");
  }
}

TEST_F(CliTest, GatewayList) {
  LayGateway();
  EXPECT_EQ(Do({"gateway", "list"}), kOk) << err_;
  EXPECT_EQ(daemon_.gateways_request.name(), "");
  EXPECT_EQ(
      out_,
      "NAME    INSIDE                    OUTSIDE    PROTOCOLS  UDP MAPPING           SESSIONS "
      " PACKETS OUT  BYTES OUT  PACKETS IN  BYTES IN  LONG SEARCHES  EXHAUSTED\n"
      "office  10.0.3.0/24, 10.0.4.0/24  10.0.1.53  tcp, icmp  endpoint_independent      7/40 "
      "           3    1.5 KiB           4   3.0 MiB              5          6\n");
  daemon_.gateways_response.mutable_outbound_gateways(0)->clear_counters();
  EXPECT_EQ(Do({"gateway", "list"}), kOk) << err_;
  EXPECT_EQ(out_.find('0', out_.find("endpoint_independent")), std::string::npos) << out_;
}

TEST_F(CliTest, GatewayShow) {
  LayGateway();
  EXPECT_EQ(Do({"gateway", "show", "office"}), kOk) << err_;
  EXPECT_EQ(daemon_.gateways_request.name(), "office");
  EXPECT_EQ(
      out_,
      "name:               office\n"
      "inside prefixes:    10.0.3.0/24, 10.0.4.0/24\n"
      "outside addresses:  10.0.1.53\n"
      "destinations:       any\n"
      "protocols:          tcp, icmp\n"
      "udp mapping:        endpoint_independent\n"
      "timeouts:           icmp 90s\n"
      "sessions:           7/40\n"
      "sessions created:   8\n"
      "refused at limit:   9 packets\n"
      "to outside:         3 packets, 1.5 KiB\n"
      "to inside:          4 packets, 3.0 MiB\n"
      "port searches:      11 with 12 probes, 5 long; 6 packets dropped for want of a port\n");
  EXPECT_EQ(Do({"gateway", "show", "office", "-o", "json"}), kOk) << err_;
  EXPECT_EQ(JsonOutput<v1::ListOutboundGatewaysResponse>().SerializeAsString(),
            daemon_.gateways_response.SerializeAsString());
}

TEST_F(CliTest, BackendList) {
  LayServices();
  EXPECT_EQ(Do({"backend", "list", "web"}), kOk) << err_;
  EXPECT_EQ(daemon_.services_request.name(), "web");
  EXPECT_EQ(out_,
            "SERVICE  BACKEND       WEIGHT  PRIORITY  ADMIN    HEALTH  SINCE  SESSIONS  TO BACKEND "
            " TO CLIENT  "
            "REASON\n"
            "web      10.0.2.11:80       1         0  enabled  up      2h00m         7     1.5 KiB "
            "   3.0 MiB  "
            "HTTP status 200\n"
            "web      10.0.2.12:80       1         5  enabled  down    2h00m      0/40         0 B "
            "       0 B  "
            "connection refused\n");
}

TEST_F(CliTest, WithoutADataplaneCountersAreDashes) {
  LayServices();
  for (v1::BackendStatus& backend :
       *daemon_.services_response.mutable_services(0)->mutable_backends())
    backend.clear_counters();
  EXPECT_EQ(Do({"backend", "list"}), kOk);
  EXPECT_NE(out_.find("2h00m         -           -          -  HTTP"), std::string::npos) << out_;
}

TEST_F(CliTest, SessionListStreamsWithFilters) {
  for (const char* client : {"192.0.2.1", "2001:db8::1"})
    *daemon_.sessions_responses.emplace_back().add_sessions() = MakeSession(client);
  EXPECT_EQ(Do({"session", "list", "--service", "web", "--client", "192.0.2.0/24", "--backend",
                "10.0.2.11", "--protocol", "tcp", "--limit", "10"}),
            kOk)
      << err_;
  EXPECT_EQ(daemon_.sessions_request.filter().service(), "web");
  EXPECT_EQ(daemon_.sessions_request.filter().client_prefix(), "192.0.2.0/24");
  EXPECT_EQ(daemon_.sessions_request.filter().backend_address(), "10.0.2.11");
  EXPECT_EQ(daemon_.sessions_request.filter().protocol(), v1::PROTOCOL_TCP);
  EXPECT_EQ(daemon_.sessions_request.limit(), 10u);
  EXPECT_EQ(out_.find("PROTOCOL  SERVICE  CLIENT"), 0u) << out_;
  EXPECT_NE(out_.find("192.0.2.1:40000"), std::string::npos);
  EXPECT_NE(out_.find("[2001:db8::1]:40000"), std::string::npos);
}

TEST_F(CliTest, SessionListAsJsonIsOneDocument) {
  for (const char* client : {"192.0.2.1", "192.0.2.2"}) {
    v1::ListSessionsResponse& part = daemon_.sessions_responses.emplace_back();
    *part.add_sessions() = MakeSession(client);
    *part.add_sessions() = MakeSession(client);
  }
  EXPECT_EQ(Do({"session", "list", "-o", "json"}), kOk);
  const auto all = JsonOutput<v1::ListSessionsResponse>();
  ASSERT_EQ(all.sessions_size(), 4);
  EXPECT_EQ(all.sessions(3).client().address(), "192.0.2.2");
  daemon_.sessions_responses.clear();
  EXPECT_EQ(Do({"session", "list", "-o", "json"}), kOk);
  EXPECT_EQ(JsonOutput<v1::ListSessionsResponse>().sessions_size(), 0);
}

TEST_F(CliTest, Stats) {
  v1::GetStatusResponse& status = *daemon_.stats_response.mutable_dataplane();
  status.set_version("0.1.0");
  status.set_generation(5);
  status.set_workers(2);
  status.set_session_capacity(1000);
  status.set_adopted_sessions(77);
  status.set_dropped_sessions(2);
  status.set_restart_gap_ns(500'000'000);
  v1::Port& port = *status.add_ports();
  port.set_name("net_af_xdp0");
  port.set_kernel_interface("steel0");
  port.set_link_up(true);
  port.set_steering_reason("net_af_xdp has no RSS");
  status.add_ports()->set_steers_in_hardware(true);
  for (uint32_t i = 0; i < 2; ++i) {
    v1::WorkerCounters& worker = *daemon_.stats_response.mutable_counters()->add_workers();
    worker.set_worker(i);
    worker.set_polls(200);
    worker.set_busy_polls(50);
    worker.set_icmp_errors_sent(100 + i);
    worker.set_icmp_errors_suppressed(7 * i);
    worker.set_received_packets(800);
    worker.set_handoff_sent_packets(600 * i);
    worker.set_handoff_received_packets(30);
    worker.set_foreign_packets(4 * i);
    if (i == 1) worker.set_reassembled_packets(17);
    for (const auto& [name, packets] :
         {std::pair{"forwarded", 40u}, std::pair{"no_service", 2u}, std::pair{"bad_header", 0u}}) {
      v1::VerdictCount& verdict = *worker.add_verdicts();
      verdict.set_name(name);
      verdict.set_packets(packets);
      verdict.set_help("of " + std::string(name));
    }
  }
  EXPECT_EQ(Do({"stats"}), kOk) << err_;
  EXPECT_NE(out_.find("adopted 77 sessions at its start (2 dropped), after 500 ms without polling"),
            std::string::npos)
      << out_;
  EXPECT_NE(out_.find("generation 5, 2 workers, room for 1000 sessions"), std::string::npos)
      << out_;
  EXPECT_NE(out_.find("up    software (net_af_xdp has no RSS)\n"), std::string::npos) << out_;
  EXPECT_NE(out_.find("down  hardware\n"), std::string::npos) << out_;
  const std::string of_stats = out_;
  EXPECT_EQ(Do({"port", "list"}), kOk) << err_;
  EXPECT_NE(of_stats.find(out_), std::string::npos) << out_;
  EXPECT_NE(out_.find("software (net_af_xdp has no RSS)"), std::string::npos) << out_;
  EXPECT_EQ(Do({"-o", "json", "port", "list"}), kOk) << err_;
  EXPECT_NE(out_.find("\"steering_reason\": \"net_af_xdp has no RSS\""), std::string::npos) << out_;
  EXPECT_EQ(Do({"stats"}), kOk) << err_;
  ExpectLine("1                17                    0               0");
  ExpectLine("1              600    75%          30        4");
  ExpectLine("forwarded        80  no    of forwarded");
  ExpectLine("no_service        4  no    of no_service");
  EXPECT_EQ(out_.find("bad_header"), std::string::npos) << "no packet met it";
  EXPECT_NE(out_.find("25%"), std::string::npos);
  EXPECT_NE(out_.find(" 100  "), std::string::npos) << out_;
  EXPECT_NE(out_.find("101 (7 suppressed)"), std::string::npos) << out_;

  EXPECT_EQ(Do({"stats", "-o", "json"}), kOk);
  EXPECT_NE(out_.find("bad_header"), std::string::npos);
}

TEST_F(CliTest, LookupAsksForTheFlowAndShowsTheAnswer) {
  v1::LookupResponse& response = daemon_.lookup_response;
  response.set_worker(3);
  response.set_hash(0xdeadbe);
  response.set_service("web");
  response.set_verdict("forwarded");
  response.mutable_backend()->set_address("10.0.2.11");
  response.mutable_backend()->set_port(80);
  EXPECT_EQ(Do({"lookup", "tcp", "10.0.0.2:1234", "10.0.1.10:80"}), kOk) << err_;
  EXPECT_EQ(daemon_.lookup_request.protocol(), v1::PROTOCOL_TCP);
  EXPECT_EQ(daemon_.lookup_request.source().address(), "10.0.0.2");
  EXPECT_EQ(daemon_.lookup_request.source().port(), 1234u);
  EXPECT_EQ(daemon_.lookup_request.destination().port(), 80u);
  EXPECT_EQ(out_,
            "verdict:  forwarded\n"
            "service:  web\n"
            "backend:  10.0.2.11:80\n"
            "worker:   3 (hash 0x00deadbe)\n"
            "session:  none\n");
  response.set_stateless(true);
  EXPECT_EQ(Do({"lookup", "tcp", "10.0.0.2:1234", "10.0.1.10:80"}), kOk) << err_;
  EXPECT_NE(out_.find("session:  none, and none would be opened\n"), std::string::npos) << out_;
  response.set_stateless(false);

  *response.mutable_session() = MakeSession("fd00::2");
  EXPECT_EQ(Do({"lookup", "udp", "[fd00::2]:5", "[fd00::1]:53"}), kOk) << err_;
  EXPECT_EQ(daemon_.lookup_request.destination().address(), "fd00::1");
  EXPECT_NE(out_.find("session:  established, "), std::string::npos);

  EXPECT_EQ(Do({"lookup", "icmp", "10.0.2.11:77", "198.51.100.1:0"}), kOk) << err_;
  EXPECT_EQ(daemon_.lookup_request.protocol(), v1::PROTOCOL_ICMP);
  EXPECT_EQ(daemon_.lookup_request.source().port(), 77u);
  EXPECT_EQ(daemon_.lookup_request.destination().port(), 0u);

  EXPECT_EQ(Do({"lookup", "icmp", "10.0.0.2:1", "10.0.1.10:80"}), kUsage);
  EXPECT_EQ(Do({"lookup", "tcp", "10.0.0.2:1", "10.0.1.10:0"}), kUsage);
  EXPECT_EQ(Do({"lookup", "tcp", "10.0.0.2", "10.0.1.10:80"}), kUsage);
}

TEST_F(CliTest, Version) {
  daemon_.version_response.set_controlplane_version("1.2.3");
  daemon_.version_response.set_generation(9);
  EXPECT_EQ(Do({"version"}), kOk) << err_;
  ExpectLine("steelyardctl            " STEELYARD_VERSION);
  ExpectLine("steelyard-controlplane  1.2.3, generation 9, 0 resyncs");
  ExpectLine("steelyard-dataplane     away");
  daemon_.version_response.set_dataplane_version("1.2.4");
  daemon_.version_response.set_dataplane_generation(8);
  daemon_.version_response.set_resyncs_total(1);
  EXPECT_EQ(Do({"version"}), kOk);
  ExpectLine("steelyard-controlplane  1.2.3, generation 9, 1 resync");
  ExpectLine("steelyard-dataplane     1.2.4, generation 8");
}

TEST_F(CliTest, JsonIsTheAnswerWithItsOwnFieldNamesAndZeroes) {
  LayServices();
  EXPECT_EQ(Do({"backend", "list", "-o", "json"}), kOk);
  EXPECT_EQ(JsonOutput<v1::ListServicesResponse>().SerializeAsString(),
            daemon_.services_response.SerializeAsString());
  EXPECT_NE(out_.find("\"check_failures_total\": \"0\""), std::string::npos) << out_;
  EXPECT_NE(out_.find("\"admin_state\": \"ADMIN_STATE_ENABLED\""), std::string::npos);
  const std::string file = WriteState(kState);
  for (const std::vector<std::string>& words : {std::vector<std::string>{"apply", "-f", file},
                                                {"diff", "-f", file},
                                                {"service", "list"},
                                                {"service", "show", "web"},
                                                {"gateway", "list"},
                                                {"session", "list"},
                                                {"stats"},
                                                {"lookup", "tcp", "1.1.1.1:1", "2.2.2.2:2"},
                                                {"version"}}) {
    std::vector<std::string> as_json = words;
    as_json.insert(as_json.end(), {"--output", "json"});
    EXPECT_EQ(Do(as_json), kOk) << words[0] << err_;
    EXPECT_EQ(out_.find('{'), 0u) << out_;
    EXPECT_TRUE(out_.ends_with("}\n")) << out_;
  }
}

TEST_F(CliTest, AnswersOverGrpcsUsualBoundArrive) {
  for (int i = 0; i < 60'000; ++i)
    LayBackend(i == 0 ? *daemon_.services_response.add_services()
                      : *daemon_.services_response.mutable_services(0),
               "10.0.2.11", v1::HEALTH_DOWN, std::string(40, 'x'));
  ASSERT_GT(daemon_.services_response.ByteSizeLong(), 4u << 20);
  EXPECT_EQ(Do({"service", "list"}), kOk) << err_;
}

TEST_F(CliTest, AFailingDaemonExitsWith1AndItsWords) {
  daemon_.status = {grpc::StatusCode::UNAVAILABLE, "the dataplane is away"};
  EXPECT_EQ(Do({"stats"}), kError);
  EXPECT_EQ(err_, "steelyardctl: the dataplane is away\n");
}

TEST_F(CliTest, ADaemonThatIsAwayIsNamedBySocketAtOnce) {
  daemon_.Shutdown();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Do({"service", "list"}), kError);
  EXPECT_EQ(err_.find("steelyardctl: cannot reach steelyard-controlplane at " + daemon_.socket()),
            0u)
      << err_;
  EXPECT_EQ(Do({"--socket", std::string(200, 'x'), "stats"}), kError);
  EXPECT_NE(err_.find("File name too long"), std::string::npos) << err_;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST_F(CliTest, TheSocketOptionWins) {
  LayServices();
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(RunSteelyardctl({"service", "list", "--socket", daemon_.socket()}, "/nonexistent",
                            {in, out, err}),
            kOk)
      << err.str();
}

TEST_F(CliTest, WrongUsageExitsWith2AndPointsToHelp) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{},
                                                {"nonsense"},
                                                {"service"},
                                                {"stats", "--nonsense"},
                                                {"stats", "-o", "xml"},
                                                {"session", "list", "--limit", "many"},
                                                {"completion", "fish"}}) {
    EXPECT_EQ(Do(words), kUsage);
    EXPECT_EQ(out_, "");
    EXPECT_NE(err_.find("Try 'steelyardctl --help'."), std::string::npos) << err_;
  }
  EXPECT_EQ(daemon_.calls, 0);
}

TEST_F(CliTest, HelpGoesToStandardOutputAndNeedsNoDaemon) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--help"}, {"service", "--help"}, {"apply", "-h"}}) {
    EXPECT_EQ(Do(words), kOk);
    EXPECT_EQ(out_.find("Usage: steelyardctl "), 0u);
    EXPECT_EQ(err_, "");
  }
  EXPECT_EQ(daemon_.calls, 0);
}

}  // namespace
}  // namespace steelyard::controlplane::cli
