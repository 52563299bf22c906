// SPDX-License-Identifier: Apache-2.0
//
// The exposition as a scraper gets it, over HTTP: right values, and the rules of promtool's linter.
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "controlplane/metrics/metrics_server.h"

namespace steelyard::controlplane {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

net::Endpoint AnyPort(const char* address) {
  return {net::ParseIpAddress(address).value(), net::Be16(0)};
}

http::response<http::string_body> Get(uint16_t port, const char* address = "127.0.0.1",
                                      const std::string& target = "/metrics",
                                      http::verb method = http::verb::get) {
  asio::io_context io_context;
  boost::beast::tcp_stream stream(io_context);
  stream.connect(asio::ip::tcp::endpoint(asio::ip::make_address(address), port));
  http::request<http::empty_body> request(method, target, 11);
  request.set(http::field::host, "localhost");
  http::write(stream, request);
  boost::beast::flat_buffer buffer;
  http::response<http::string_body> response;
  http::read(stream, buffer, response);
  return response;
}

std::string Scrape(uint16_t port, const char* address = "127.0.0.1") {
  const http::response<http::string_body> response = Get(port, address);
  EXPECT_EQ(response.result(), http::status::ok);
  EXPECT_EQ(response[http::field::content_type], "text/plain; version=0.0.4; charset=utf-8");
  return response.body();
}

struct Exposition {
  std::map<std::string, std::string> help;
  std::map<std::string, std::string> type;
  std::map<std::string, std::string> values;  // by series: name{labels}
  std::vector<std::string> names;             // of families, in their order
};

Exposition Parse(const std::string& text) {
  Exposition exposition;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    static const std::regex comment(R"(# (HELP|TYPE) (\S+) (.*))");
    static const std::regex sample(R"((\w+(?:\{.*\})?) (\S+))");
    std::smatch match;
    if (std::regex_match(line, match, comment)) {
      auto& map = match[1] == "HELP" ? exposition.help : exposition.type;
      EXPECT_TRUE(map.emplace(match[2], match[3]).second) << "twice: " << line;
      if (match[1] == "TYPE") exposition.names.push_back(match[2]);
    } else if (std::regex_match(line, match, sample)) {
      EXPECT_TRUE(exposition.values.emplace(match[1], match[2]).second) << "twice: " << line;
    } else {
      ADD_FAILURE() << "neither a comment nor a sample: " << line;
    }
  }
  return exposition;
}

void AddBackend(v1::ServiceCounters& service, const std::string& address, uint64_t base) {
  v1::BackendCounters& backend = *service.add_backends();
  backend.set_address(address);
  backend.set_port(80);
  backend.mutable_to_backend()->set_packets(base + 1);
  backend.mutable_to_backend()->set_bytes(base + 2);
  backend.mutable_to_client()->set_packets(base + 3);
  backend.mutable_to_client()->set_bytes(base + 4);
  backend.set_sessions_active(base + 5);
  backend.set_sessions_created(base + 6);
  backend.set_available(true);
}

void SetLocalPorts(v1::LocalPortCounters& ports, uint64_t base) {
  ports.set_searches(base + 1);
  ports.set_probes(base + 2);
  ports.set_long_searches(base + 3);
  ports.set_exhausted_packets(base + 4);
}

std::shared_ptr<MetricsData> FullData() {
  auto data = std::make_shared<MetricsData>();
  data->controlplane_version = "1.2.3";
  data->generation = 7;
  data->resyncs_total = 2;
  data->health = {
      {"web", "10.0.2.11", 80, v1::HEALTH_UP, 1'700'000'000'500, "connected", 12, 3},
      {"web", "fd00::11", 80, v1::HEALTH_DOWN, 1'700'000'000'000, "connection refused", 9, 9},
      {"dns", "10.0.2.11", 80, v1::HEALTH_UNCHECKED, 1'700'000'000'000, "no health check", 0, 0},
      {"dns", "10.0.2.12", 80, v1::HEALTH_UNKNOWN, 1'700'000'000'000, "not checked yet", 0, 0},
  };
  v1::GetStatusResponse& status = data->status.emplace();
  status.set_version("1.2.4");
  status.set_generation(6);
  status.set_started_unix_ns(1'700'000'000'250'000'000);
  status.set_adopted_sessions(77);
  status.set_dropped_sessions(2);
  status.set_restart_gap_ns(500'000'000);
  v1::Port& port = *status.add_ports();
  port.set_name("net_af_xdp0");
  port.set_mtu(1500);
  port.set_link_up(true);

  v1::GetCountersResponse& counters = data->counters.emplace();
  for (uint32_t i = 0; i < 2; ++i) {
    v1::WorkerCounters& worker = *counters.add_workers();
    worker.set_worker(i);
    worker.set_received_packets(10);
    worker.set_icmp_errors_sent(20 + i);
    worker.set_icmp_errors_suppressed(30 + i);
    worker.set_templates_active(50 + i);
    for (const auto& [name, packets] : {std::pair{"forwarded", 8u}, std::pair{"no_service", 2u}}) {
      v1::VerdictCount& verdict = *worker.add_verdicts();
      verdict.set_name(name);
      verdict.set_packets(packets);
    }
  }
  v1::PortCounters& port_counters = *counters.add_ports();
  port_counters.set_name("net_af_xdp0");
  port_counters.set_received_bytes(9'007'199'254'740'991);  // 2^53 - 1
  v1::ServiceCounters& web = *counters.add_services();
  web.set_name("web");
  web.set_session_limit_packets(31);
  web.set_sessions_not_remembered(32);
  SetLocalPorts(*web.mutable_local_ports(), 40);
  AddBackend(web, "10.0.2.11", 100);
  AddBackend(web, "fd00::11", 200);
  v1::OutboundGatewayCounters& office = *counters.add_outbound_gateways();
  office.set_name("office");
  office.mutable_to_outside()->set_packets(51);
  office.mutable_to_outside()->set_bytes(52);
  office.mutable_to_inside()->set_packets(53);
  office.mutable_to_inside()->set_bytes(54);
  office.set_sessions_active(55);
  office.set_sessions_created(56);
  office.set_session_limit_packets(57);
  SetLocalPorts(*office.mutable_local_ports(), 60);
  return data;
}

class MetricsTest : public testing::Test {
 protected:
  Exposition ScrapeOf(std::shared_ptr<const MetricsData> data) {
    server_.Set(std::move(data));
    return Parse(Scrape(server_.port()));
  }
  MetricsServer server_{AnyPort("127.0.0.1")};
};

TEST_F(MetricsTest, ShowsNothingBeforeTheFirstHandOver) {
  EXPECT_TRUE(ScrapeOf(nullptr).names.empty());
}

TEST_F(MetricsTest, ShowsWhatTheDataplaneCounted) {
  const Exposition got = ScrapeOf(FullData());
  const std::map<std::string, std::string> expected = {
      {R"(steelyard_service_sessions_active{service="web"})", "310"},
      {R"(steelyard_service_session_limit_packets_total{service="web"})", "31"},
      {R"(steelyard_service_sessions_not_remembered_total{service="web"})", "32"},
      {R"(steelyard_service_local_port_searches_total{service="web"})", "41"},
      {R"(steelyard_outbound_gateway_local_port_searches_total{outbound_gateway="office"})", "61"},
      {R"(steelyard_service_local_port_probes_total{service="web"})", "42"},
      {R"(steelyard_outbound_gateway_local_port_probes_total{outbound_gateway="office"})", "62"},
      {R"(steelyard_service_local_port_long_searches_total{service="web"})", "43"},
      {R"(steelyard_outbound_gateway_local_port_long_searches_total{outbound_gateway="office"})",
       "63"},
      {R"(steelyard_service_local_port_exhausted_packets_total{service="web"})", "44"},
      {R"(steelyard_outbound_gateway_local_port_exhausted_packets_total{outbound_gateway="office"})",
       "64"},
      {R"(steelyard_outbound_gateway_packets_total{outbound_gateway="office",direction="to_outside"})",
       "51"},
      {R"(steelyard_outbound_gateway_packets_total{outbound_gateway="office",direction="to_inside"})",
       "53"},
      {R"(steelyard_outbound_gateway_bytes_total{outbound_gateway="office",direction="to_outside"})",
       "52"},
      {R"(steelyard_outbound_gateway_bytes_total{outbound_gateway="office",direction="to_inside"})",
       "54"},
      {R"(steelyard_outbound_gateway_sessions_active{outbound_gateway="office"})", "55"},
      {R"(steelyard_outbound_gateway_sessions_created_total{outbound_gateway="office"})", "56"},
      {R"(steelyard_outbound_gateway_session_limit_packets_total{outbound_gateway="office"})",
       "57"},
      {R"(steelyard_service_backends_available{service="web"})", "2"},
      {R"(steelyard_backend_packets_total{service="web",backend="10.0.2.11:80",direction="to_backend"})",
       "101"},
      {R"(steelyard_backend_bytes_total{service="web",backend="[fd00::11]:80",direction="to_client"})",
       "204"},
      {R"(steelyard_backend_sessions_created_total{service="web",backend="10.0.2.11:80"})", "106"},
      {R"(steelyard_worker_packets_total{worker="1",verdict="no_service"})", "2"},
      {R"(steelyard_worker_received_packets_total{worker="0"})", "10"},
      {R"(steelyard_worker_icmp_errors_sent_total{worker="1"})", "21"},
      {R"(steelyard_worker_icmp_errors_suppressed_total{worker="0"})", "30"},
      {R"(steelyard_worker_templates_active{worker="1"})", "51"},
      {R"(steelyard_port_received_bytes_total{port="net_af_xdp0"})", "9007199254740991"},
      {R"(steelyard_port_link_up{port="net_af_xdp0"})", "1"},
      {R"(steelyard_dataplane_up)", "1"},
      {R"(steelyard_dataplane_generation)", "6"},
      {R"(steelyard_dataplane_start_time_seconds)", "1700000000.25"},
      {R"(steelyard_dataplane_adopted_sessions)", "77"},
      {R"(steelyard_dataplane_dropped_sessions)", "2"},
      {R"(steelyard_dataplane_restart_gap_seconds)", "0.5"},
      {R"(steelyard_build_info{program="steelyard-dataplane",version="1.2.4"})", "1"},
  };
  for (const auto& [series, value] : expected) {
    ASSERT_TRUE(got.values.contains(series)) << series;
    EXPECT_EQ(got.values.at(series), value) << series;
  }
}

TEST_F(MetricsTest, ShowsHealthAndTheDaemon) {
  const Exposition got = ScrapeOf(FullData());
  EXPECT_EQ(got.values.at(R"(steelyard_backend_up{service="web",backend="10.0.2.11:80"})"), "1");
  EXPECT_EQ(got.values.at(R"(steelyard_backend_up{service="web",backend="[fd00::11]:80"})"), "0");
  EXPECT_EQ(got.values.at(R"(steelyard_backend_up{service="dns",backend="10.0.2.11:80"})"), "1");
  EXPECT_EQ(got.values.at(R"(steelyard_backend_up{service="dns",backend="10.0.2.12:80"})"), "0");
  EXPECT_EQ(got.values.at(
                R"(steelyard_backend_health_checks_total{service="web",backend="10.0.2.11:80"})"),
            "12");
  EXPECT_EQ(
      got.values.at(
          R"(steelyard_backend_health_check_failures_total{service="web",backend="10.0.2.11:80"})"),
      "3");
  EXPECT_EQ(got.values.at("steelyard_generation"), "7");
  EXPECT_EQ(got.values.at("steelyard_resyncs_total"), "2");
  EXPECT_EQ(
      got.values.at(R"(steelyard_build_info{program="steelyard-controlplane",version="1.2.3"})"),
      "1");
}

TEST_F(MetricsTest, WithoutADataplaneItsOldNumbersAreGone) {
  const auto data = FullData();
  data->status.reset();
  data->counters.reset();
  const Exposition got = ScrapeOf(data);
  EXPECT_EQ(got.values.at("steelyard_dataplane_up"), "0");
  EXPECT_EQ(got.values.at("steelyard_generation"), "7");
  for (const std::string& name : got.names) {
    EXPECT_EQ(name.find("steelyard_worker_"), std::string::npos) << name;
    EXPECT_EQ(name.find("steelyard_port_"), std::string::npos) << name;
    EXPECT_EQ(name.find("steelyard_service_"), std::string::npos) << name;
    EXPECT_EQ(name.find("steelyard_outbound_gateway_"), std::string::npos) << name;
  }
}

TEST_F(MetricsTest, FollowsTheConventions) {
  const Exposition got = ScrapeOf(FullData());
  EXPECT_GT(got.names.size(), 30u);
  static const std::regex name_form("steelyard_[a-z][a-z0-9_]*[a-z0-9]");
  static const std::regex bad_unit(
      "(^|_)(ns|us|ms|nanoseconds|microseconds|milliseconds|minutes|hours|kib|mib|kilobytes|"
      "megabytes|bits|percent)(_|$)");
  for (const std::string& name : got.names) {
    const std::string& type = got.type.at(name);
    EXPECT_TRUE(std::regex_match(name, name_form)) << name;
    EXPECT_FALSE(std::regex_search(name, bad_unit)) << name;
    EXPECT_TRUE(type == "counter" || type == "gauge") << name;
    EXPECT_EQ(type == "counter", name.ends_with("_total")) << name;
    ASSERT_TRUE(got.help.contains(name)) << name;
    EXPECT_TRUE(got.help.at(name).ends_with(".")) << name << ": " << got.help.at(name);
    EXPECT_EQ(name.find("_" + type), std::string::npos) << name << ": the type is not in the name";
  }
}

TEST_F(MetricsTest, LabelValuesAreEscaped) {
  const auto data = FullData();
  data->counters->mutable_services(0)->set_name("a\"b\\c\nd");
  const Exposition got = ScrapeOf(data);
  EXPECT_EQ(got.values.at(R"(steelyard_service_sessions_active{service="a\"b\\c\nd"})"), "310");
}

TEST_F(MetricsTest, ScrapesWhileTheDaemonSwaps) {
  const auto data = FullData();
  std::jthread daemon([&](std::stop_token stop) {
    while (!stop.stop_requested()) server_.Set(std::make_shared<MetricsData>(*data));
  });
  server_.Set(data);
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(Parse(Scrape(server_.port())).values.at("steelyard_generation"), "7");
}

TEST(MetricsServer, ListensOnIpv6) {
  MetricsServer server(AnyPort("::1"));
  server.Set(FullData());
  EXPECT_EQ(Parse(Scrape(server.port(), "::1")).values.at("steelyard_generation"), "7");
}

TEST(MetricsServer, AnswersNothingElse) {
  MetricsServer server(AnyPort("127.0.0.1"));
  EXPECT_EQ(Get(server.port(), "127.0.0.1", "/").result(), http::status::not_found);
  EXPECT_EQ(Get(server.port(), "127.0.0.1", "/metrics?x=1").result(), http::status::ok);
  EXPECT_EQ(Get(server.port(), "127.0.0.1", "/metrics", http::verb::post).result(),
            http::status::method_not_allowed);
}

// Idle and rude connections must neither pile up without bound nor stop a later scrape.
TEST(MetricsServer, OutlivesHostileConnections) {
  MetricsServer server(AnyPort("127.0.0.1"));
  asio::io_context io_context;
  const asio::ip::tcp::endpoint endpoint(asio::ip::address_v4::loopback(), server.port());
  {
    std::vector<asio::ip::tcp::socket> sockets;
    for (int i = 0; i < 100; ++i) {
      sockets.emplace_back(io_context).connect(endpoint);
      boost::system::error_code refused;
      asio::write(sockets.back(), asio::buffer(std::string(40'000, 'x')), refused);
    }
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(Get(server.port()).result(), http::status::ok);
}

TEST(MetricsServer, SaysWhereItCannotListen) {
  MetricsServer first(AnyPort("127.0.0.1"));
  net::Endpoint taken = AnyPort("127.0.0.1");
  taken.port = net::Be16(first.port());
  try {
    MetricsServer second(taken);
    FAIL() << "no exception";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(net::ToString(taken)), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace steelyard::controlplane
