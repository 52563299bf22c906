// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/health_checker.h"

#include <gtest/gtest.h>

#include <chrono>

#include "controlplane/health/mini_server.h"

namespace steelyard::controlplane {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr char kOk[] = "HTTP/1.1 200 OK\r\n\r\n";
constexpr char kUnavailable[] = "HTTP/1.1 503 Unavailable\r\n\r\n";

v1::Service MakeService(const std::string& name, const std::vector<uint16_t>& ports) {
  v1::Service service;
  service.set_name(name);
  v1::HealthCheck& check = *service.mutable_health_check();
  check.set_type(v1::HealthCheck::TYPE_HTTP);
  check.set_interval_ms(40);
  check.set_timeout_ms(200);
  check.set_rise(2);
  check.set_fall(3);
  check.set_http_path("/");
  for (const uint16_t port : ports) {
    v1::Backend& backend = *service.add_backends();
    backend.set_address("127.0.0.1");
    backend.set_port(port);
    backend.set_admin_state(v1::ADMIN_STATE_ENABLED);
  }
  return service;
}

class HealthCheckerTest : public testing::Test {
 protected:
  template <typename Condition>
  bool RunUntil(Condition condition, milliseconds limit = milliseconds(5000)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition() && std::chrono::steady_clock::now() < deadline)
      io_context_.run_one_for(milliseconds(5));
    return condition();
  }
  void RunFor(milliseconds time) {
    RunUntil([] { return false; }, time);
  }

  HealthStatus Only(const std::string& service = "web") const {
    const std::vector<HealthStatus> statuses = checker_.GetService(service);
    EXPECT_EQ(statuses.size(), 1u);
    return statuses.at(0);
  }

  asio::io_context io_context_;
  MiniServer server_{io_context_, "127.0.0.1", kOk};
  std::vector<HealthStatus> changes_;
  HealthChecker checker_{io_context_,
                         [this](const HealthStatus& change) { changes_.push_back(change); }};
};

TEST_F(HealthCheckerTest, ANewBackendIsUnknownAndTheFirstResultDecides) {
  checker_.SetServices({MakeService("web", {server_.port()})});
  EXPECT_EQ(Only().health, v1::HEALTH_UNKNOWN);
  EXPECT_EQ(Only().reason, "not checked yet");
  EXPECT_TRUE(changes_.empty());
  ASSERT_TRUE(RunUntil([&] { return !changes_.empty(); }));
  EXPECT_EQ(changes_[0].service, "web");
  EXPECT_EQ(changes_[0].address, "127.0.0.1");
  EXPECT_EQ(changes_[0].port, server_.port());
  EXPECT_EQ(changes_[0].health, v1::HEALTH_UP);
  EXPECT_EQ(changes_[0].reason, "HTTP status 200");
  EXPECT_EQ(changes_[0].checks_total, 1u);
  EXPECT_EQ(changes_[0].check_failures_total, 0u);
  const auto now_ms =
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  EXPECT_NEAR(static_cast<double>(changes_[0].since_unix_ms), static_cast<double>(now_ms.count()),
              2000);
}

TEST_F(HealthCheckerTest, GoesDownAfterFallFailuresAndUpAfterRise) {
  checker_.SetServices({MakeService("web", {server_.port()})});
  ASSERT_TRUE(RunUntil([&] { return Only().checks_total >= 2; }));
  server_.set_answer(kUnavailable);
  ASSERT_TRUE(RunUntil([&] { return changes_.size() == 2; }));
  EXPECT_EQ(changes_[1].health, v1::HEALTH_DOWN);
  EXPECT_EQ(changes_[1].reason, "HTTP status 503");
  EXPECT_EQ(changes_[1].check_failures_total, 3u);
  server_.Close();
  ASSERT_TRUE(RunUntil([&] { return Only().reason == "connection refused"; }));
  EXPECT_EQ(Only().since_unix_ms, changes_[1].since_unix_ms);
  server_.set_answer(kOk);
  server_.Open();
  ASSERT_TRUE(RunUntil([&] { return changes_.size() == 3; }));
  EXPECT_EQ(changes_[2].health, v1::HEALTH_UP);
  EXPECT_EQ(Only().checks_total - Only().check_failures_total >= 4, true);
}

TEST_F(HealthCheckerTest, ARefusingBackendIsOutWithinIntervalTimesFall) {
  v1::Service service = MakeService("web", {server_.port()});
  service.mutable_health_check()->set_interval_ms(100);
  checker_.SetServices({service});
  ASSERT_TRUE(RunUntil([&] { return Only().checks_total >= 3; }));
  server_.Close();
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(RunUntil([&] { return Only().health == v1::HEALTH_DOWN; }));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(3 * 100 + 50));
}

TEST_F(HealthCheckerTest, AServiceWithoutACheckIsUnchecked) {
  v1::Service service = MakeService("web", {server_.port()});
  service.clear_health_check();
  checker_.SetServices({service});
  RunFor(milliseconds(100));
  EXPECT_EQ(Only().health, v1::HEALTH_UNCHECKED);
  EXPECT_EQ(Only().reason, "no health check");
  EXPECT_EQ(server_.connections(), 0);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(HealthCheckerTest, ADisabledBackendIsNotCheckedADrainingOneIs) {
  v1::Service service = MakeService("web", {server_.port()});
  service.mutable_backends(0)->set_admin_state(v1::ADMIN_STATE_DISABLED);
  checker_.SetServices({service});
  RunFor(milliseconds(100));
  EXPECT_EQ(Only().health, v1::HEALTH_UNKNOWN);
  EXPECT_EQ(Only().reason, "disabled");
  EXPECT_EQ(server_.connections(), 0);

  service.mutable_backends(0)->set_admin_state(v1::ADMIN_STATE_DRAINING);
  checker_.SetServices({service});
  EXPECT_TRUE(RunUntil([&] { return Only().health == v1::HEALTH_UP; }));

  service.mutable_backends(0)->set_admin_state(v1::ADMIN_STATE_DISABLED);
  checker_.SetServices({service});
  EXPECT_EQ(Only().health, v1::HEALTH_UNKNOWN);
  const int connections = server_.connections();
  RunFor(milliseconds(100));
  EXPECT_LE(server_.connections(), connections + 1);
}

TEST_F(HealthCheckerTest, BackendsThatStayKeepTheirState) {
  MiniServer other(io_context_, "127.0.0.1", kOk);
  checker_.SetServices({MakeService("web", {server_.port()})});
  ASSERT_TRUE(RunUntil([&] { return Only().checks_total >= 2; }));
  const HealthStatus before = Only();

  v1::Service changed = MakeService("web", {other.port(), server_.port()});
  changed.mutable_backends(1)->set_weight(7);
  checker_.SetServices({changed, MakeService("api", {other.port()})});
  const std::vector<HealthStatus> after = checker_.GetService("web");
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[0].port, other.port());
  EXPECT_EQ(after[0].health, v1::HEALTH_UNKNOWN);
  EXPECT_EQ(after[1].port, server_.port());
  EXPECT_EQ(after[1].health, v1::HEALTH_UP);
  EXPECT_EQ(after[1].since_unix_ms, before.since_unix_ms);
  EXPECT_EQ(after[1].checks_total, before.checks_total);
  EXPECT_EQ(checker_.GetAll().size(), 3u);
}

TEST_F(HealthCheckerTest, AChangedCheckKeepsTheHealthUntilItsFirstResultDecides) {
  checker_.SetServices({MakeService("web", {server_.port()})});
  ASSERT_TRUE(RunUntil([&] { return Only().health == v1::HEALTH_UP; }));
  v1::Service changed = MakeService("web", {server_.port()});
  changed.mutable_health_check()->set_http_expected_status(418);
  changed.mutable_health_check()->set_fall(50);
  checker_.SetServices({changed});
  EXPECT_EQ(Only().health, v1::HEALTH_UP);
  ASSERT_TRUE(RunUntil([&] { return changes_.size() == 2; }));
  EXPECT_EQ(changes_[1].health, v1::HEALTH_DOWN);
  EXPECT_EQ(Only().check_failures_total, 1u);
}

// The header is for the port that the service's traffic goes to.
TEST_F(HealthCheckerTest, ChecksBeginWithAProxyHeaderWhereTheServiceSendsThem) {
  v1::Service service = MakeService("web", {server_.port()});
  checker_.SetServices({service});
  const auto has_header = [&] { return server_.last_request().starts_with("\r\n\r\n"); };
  ASSERT_TRUE(RunUntil([&] { return Only().checks_total >= 1; }));
  EXPECT_FALSE(has_header());
  service.mutable_client_address()->set_carrier(v1::ClientAddress::CARRIER_PROXY_V2);
  checker_.SetServices({service});
  EXPECT_TRUE(RunUntil(has_header));

  MiniServer health_port(io_context_, "127.0.0.1", kOk);
  service.mutable_health_check()->set_port(health_port.port());
  checker_.SetServices({service});
  ASSERT_TRUE(RunUntil([&] { return health_port.connections() >= 1; }));
  ASSERT_TRUE(RunUntil([&] { return !health_port.last_request().empty(); }));
  EXPECT_TRUE(health_port.last_request().starts_with("GET "));
}

TEST_F(HealthCheckerTest, ACheckAddedToAServiceDoesNotInterruptIt) {
  v1::Service service = MakeService("web", {server_.port()});
  service.clear_health_check();
  checker_.SetServices({service});
  checker_.SetServices({MakeService("web", {server_.port()})});
  EXPECT_EQ(Only().health, v1::HEALTH_UNCHECKED);
  EXPECT_TRUE(RunUntil([&] { return Only().health == v1::HEALTH_UP; }));
}

TEST_F(HealthCheckerTest, RemovedServicesAndBackendsAreForgottenAndNotChecked) {
  checker_.SetServices(
      {MakeService("web", {server_.port()}), MakeService("api", {server_.port()})});
  checker_.RemoveService("api");
  EXPECT_TRUE(checker_.GetService("api").empty());
  checker_.SetServices({MakeService("web", {})});
  EXPECT_TRUE(checker_.GetAll().empty());
  checker_.SetServices({});
  RunFor(milliseconds(100));
  EXPECT_EQ(server_.connections(), 0);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(HealthCheckerTest, TheCheckPortOverridesTheBackends) {
  v1::Service service = MakeService("web", {1});
  service.mutable_health_check()->set_port(server_.port());
  checker_.SetServices({service});
  EXPECT_TRUE(RunUntil([&] { return Only().health == v1::HEALTH_UP; }));
  EXPECT_EQ(Only().port, 1u);
}

TEST_F(HealthCheckerTest, AfterStopNothingIsCheckedOrReported) {
  checker_.SetServices({MakeService("web", {server_.port()})});
  ASSERT_TRUE(RunUntil([&] { return !changes_.empty(); }));
  checker_.Stop();
  server_.set_answer(kUnavailable);
  const int connections = server_.connections();
  RunFor(milliseconds(200));
  EXPECT_LE(server_.connections(), connections + 1);
  EXPECT_EQ(changes_.size(), 1u);
  EXPECT_EQ(Only().health, v1::HEALTH_UP);
}

TEST_F(HealthCheckerTest, DestructionWithAQueuedTimerIsSafe) {
  {
    HealthChecker shortlived(io_context_, [](const HealthStatus&) { FAIL(); });
    shortlived.SetServices({MakeService("web", {server_.port()})});
  }
  RunFor(milliseconds(50));
  EXPECT_EQ(server_.connections(), 0);
}

TEST_F(HealthCheckerTest, ChecksUnderWayAreBounded) {
  // The server keeps silent, so that every check stays under way until its timeout.
  MiniServer silent(io_context_, "127.0.0.1", "", MiniServer::After::kStayOpen);
  HealthChecker bounded(io_context_, [](const HealthStatus&) {}, {.max_concurrent_checks = 3});
  std::vector<v1::Service> services;
  for (int i = 0; i < 20; ++i)
    services.push_back(MakeService("s" + std::to_string(i), {silent.port()}));
  bounded.SetServices(services);
  RunFor(milliseconds(150));
  EXPECT_EQ(silent.connections(), 3);
  const auto checked = [&] {
    size_t count = 0;
    for (const HealthStatus& status : bounded.GetAll()) count += status.health == v1::HEALTH_DOWN;
    return count;
  };
  EXPECT_TRUE(RunUntil([&] { return checked() == 20; })) << checked();
}

TEST_F(HealthCheckerTest, ThousandsOfBackendsOnOneThread) {
  constexpr int kServices = 200;
  constexpr int kBackends = 10;
  std::vector<v1::Service> services;
  for (int i = 0; i < kServices; ++i) {
    v1::Service service = MakeService("s" + std::to_string(i), {});
    service.mutable_health_check()->set_type(v1::HealthCheck::TYPE_TCP);
    service.mutable_health_check()->set_interval_ms(1000);
    service.mutable_health_check()->set_timeout_ms(900);
    for (int b = 1; b <= kBackends; ++b) {
      v1::Backend& backend = *service.add_backends();
      backend.set_address("127.0.0." + std::to_string(b));
      backend.set_port(server_.port());
    }
    services.push_back(std::move(service));
  }
  checker_.SetServices(services);
  // The server is on 127.0.0.1 alone.
  ASSERT_TRUE(RunUntil([&] { return changes_.size() == kServices * kBackends; }))
      << changes_.size();
  for (const HealthStatus& change : changes_)
    EXPECT_EQ(change.health, change.address == "127.0.0.1" ? v1::HEALTH_UP : v1::HEALTH_DOWN);
}

}  // namespace
}  // namespace steelyard::controlplane
