// SPDX-License-Identifier: Apache-2.0
#include "controlplane/reconcile/reconciler.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "controlplane/dataplane_client/fake_dataplane.h"

namespace steelyard::controlplane {
namespace {

using namespace std::chrono_literals;

std::shared_ptr<const ResolvedServices> Services(
    const std::vector<std::pair<std::string, uint32_t>>& names_and_ports) {
  ResolvedServices resolved;
  for (const auto& [name, port] : names_and_ports) {
    v1::Service& service = resolved.services.emplace_back();
    service.set_name(name);
    service.set_port(port);
  }
  return std::make_shared<const ResolvedServices>(std::move(resolved));
}

std::shared_ptr<const ResolvedServices> Gateways(const std::vector<std::string>& names) {
  ResolvedServices resolved = *Services({{"web", 80}, {"dns", 53}});
  for (const std::string& name : names) resolved.outbound_gateways.emplace_back().set_name(name);
  return std::make_shared<const ResolvedServices>(std::move(resolved));
}

v1::BackendHealth Health(const std::string& service, v1::Health state) {
  v1::BackendHealth health;
  health.set_service(service);
  health.set_address("10.0.2.1");
  health.set_port(80);
  health.set_health(state);
  return health;
}

WantedNetwork Network(const std::vector<std::string>& prefixes) {
  WantedNetwork network;
  for (const std::string& prefix : prefixes) {
    v1::Route& route = network.routes[prefix];
    route.set_prefix(prefix);
    route.add_gateways();
  }
  v1::Neighbour neighbour;
  neighbour.set_address("10.0.2.1");
  neighbour.set_mac("02:00:00:00:00:01");
  network.neighbours[NeighbourName(neighbour)] = neighbour;
  v1::BoxAddress address;
  address.set_port_id(0);
  address.set_address("10.0.2.254");
  address.set_prefix_length(24);
  network.addresses["0 10.0.2.254"] = address;
  return network;
}

class ReconcilerTest : public testing::Test {
 protected:
  ReconcilerTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "steelyard-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    socket_ = folder_ + "/dataplane.sock";
    StartDataplane();
    RestartControlplane();
  }
  ~ReconcilerTest() override {
    reconciler_.reset();
    client_.reset();
    dataplane_.reset();
    std::filesystem::remove_all(folder_);
  }

  void StartDataplane() {
    dataplane_.reset();
    dataplane_ = std::make_unique<FakeDataplane>(io_, socket_);
    dataplane_->instance = ++instances_;
  }
  void RestartControlplane() {
    reconciler_.reset();
    client_.reset();
    client_ = std::make_unique<DataplaneClient>(io_, DataplaneClient::Options{socket_, 5ms, 20ms});
    Reconciler::Options options;
    options.check_interval = 50ms;
    options.retry_interval = 30ms;
    options.longest_health_hold = 300ms;
    reconciler_ = std::make_unique<Reconciler>(io_, *client_, options);
  }
  bool RunUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 2s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_one_for(10ms);
    }
    return true;
  }
  void RunFor(std::chrono::milliseconds time) {
    io_.restart();
    io_.run_for(time);
  }
  // A dataplane that has everything, and a log of pushes that starts after it.
  void BringUp() {
    reconciler_->Start();
    reconciler_->SetNetwork(Network({"10.0.2.0/24"}));
    reconciler_->SetServices(1, Services({{"web", 80}, {"dns", 53}}));
    reconciler_->SetHealth({Health("web", v1::HEALTH_UP)});
    ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(1); }));
    RunFor(20ms);
    dataplane_->applies.clear();
  }

  boost::asio::io_context io_;
  std::string folder_;
  std::string socket_;
  uint64_t instances_ = 0;
  std::unique_ptr<FakeDataplane> dataplane_;
  std::unique_ptr<DataplaneClient> client_;
  std::unique_ptr<Reconciler> reconciler_;
};

TEST_F(ReconcilerTest, PushesNetworkThenHealthThenServices) {
  reconciler_->Start();
  reconciler_->SetServices(7, Services({{"web", 80}}));
  reconciler_->SetHealth({Health("web", v1::HEALTH_UNKNOWN)});
  RunFor(30ms);
  EXPECT_TRUE(dataplane_->applies.empty());  // the network is not known yet
  reconciler_->SetNetwork(Network({"10.0.2.0/24", "::/0"}));
  ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(7); }));
  ASSERT_EQ(dataplane_->applies.size(), 3u);
  EXPECT_TRUE(dataplane_->applies[0].apply_network().replace());
  EXPECT_TRUE(dataplane_->applies[1].apply_health().replace());
  EXPECT_TRUE(dataplane_->applies[2].apply_services().replace());
  EXPECT_EQ(dataplane_->generation, 7u);
  EXPECT_EQ(dataplane_->routes.size(), 2u);
  EXPECT_EQ(dataplane_->neighbours.size(), 1u);
  EXPECT_EQ(dataplane_->addresses.size(), 1u);
  RunFor(120ms);
  EXPECT_EQ(dataplane_->applies.size(), 3u);
  EXPECT_EQ(reconciler_->resyncs_total(), 0u);
}

TEST_F(ReconcilerTest, PushesOnlyWhatChanged) {
  BringUp();
  reconciler_->SetServices(2, Services({{"web", 8080}}));
  ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(2); }));
  ASSERT_EQ(dataplane_->applies.size(), 1u);
  const v1::ApplyServicesRequest& services = dataplane_->applies[0].apply_services();
  EXPECT_FALSE(services.replace());
  EXPECT_EQ(services.base_generation(), 1u);
  ASSERT_EQ(services.services_size(), 1);
  EXPECT_EQ(services.services(0).port(), 8080u);
  ASSERT_EQ(services.removed_size(), 1);
  EXPECT_EQ(services.removed(0), "dns");

  reconciler_->SetNetwork(Network({"10.0.3.0/24"}));
  ASSERT_TRUE(RunUntil([&] { return dataplane_->applies.size() == 2; }));
  const v1::ApplyNetworkRequest& network = dataplane_->applies[1].apply_network();
  EXPECT_FALSE(network.replace());
  EXPECT_EQ(network.routes_size(), 1);
  EXPECT_EQ(network.removed_routes(0), "10.0.2.0/24");
  EXPECT_EQ(network.neighbours_size(), 0);
  EXPECT_EQ(network.addresses_size(), 0);

  reconciler_->ChangeHealth(Health("web", v1::HEALTH_DOWN));
  ASSERT_TRUE(RunUntil([&] { return dataplane_->applies.size() == 3; }));
  EXPECT_EQ(dataplane_->health.begin()->second.health(), v1::HEALTH_DOWN);
  EXPECT_FALSE(dataplane_->applies[2].apply_health().replace());
}

TEST_F(ReconcilerTest, PushesGatewaysWhoseOrderAloneChanged) {
  BringUp();
  uint64_t generation = 1;
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{"office", "guests"}, {"guests", "office"}, {"guests"}}) {
    reconciler_->SetServices(++generation, Gateways(names));
    ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(generation); }));
    const v1::ApplyServicesRequest& push = dataplane_->applies.back().apply_services();
    EXPECT_FALSE(push.replace());
    EXPECT_EQ(push.services_size(), 0);
    ASSERT_EQ(dataplane_->outbound_gateways.size(), names.size());
    for (size_t i = 0; i < names.size(); ++i)
      EXPECT_EQ(dataplane_->outbound_gateways[i].name(), names[i]);
  }
  EXPECT_EQ(dataplane_->applies.size(), 3u);
  RunFor(120ms);
  EXPECT_EQ(reconciler_->resyncs_total(), 0u);
}

TEST_F(ReconcilerTest, RepairsTheOrderOfGateways) {
  BringUp();
  reconciler_->SetServices(2, Gateways({"office", "guests"}));
  ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(2); }));
  std::swap(dataplane_->outbound_gateways[0], dataplane_->outbound_gateways[1]);
  ASSERT_TRUE(RunUntil([&] { return dataplane_->outbound_gateways[0].name() == "office"; }));
  EXPECT_EQ(reconciler_->resyncs_total(), 1u);
}

TEST_F(ReconcilerTest, AnEmptyStateEmptiesTheDataplane) {
  BringUp();
  reconciler_->SetServices(2, Services({}));
  reconciler_->SetHealth({});
  ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(2) && dataplane_->health.empty(); }));
  EXPECT_TRUE(dataplane_->services.empty());
}

TEST_F(ReconcilerTest, TakesHealthAwayOnlyAfterItsServices) {
  BringUp();
  reconciler_->SetServices(2, Services({{"dns", 53}}));
  reconciler_->SetHealth({});
  ASSERT_TRUE(RunUntil([&] { return dataplane_->health.empty(); }));
  ASSERT_EQ(dataplane_->applies.size(), 2u);
  EXPECT_TRUE(dataplane_->applies[0].has_apply_services());
  EXPECT_TRUE(dataplane_->applies[1].has_apply_health());
}

TEST_F(ReconcilerTest, CoalescesWhatChangesDuringAPush) {
  BringUp();
  for (uint32_t i = 1; i <= 50; ++i) {
    reconciler_->SetServices(1 + i, Services({{"web", i}}));
    reconciler_->ChangeHealth(Health("web", i % 2 ? v1::HEALTH_DOWN : v1::HEALTH_UP));
  }
  ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(51); }));
  EXPECT_LE(dataplane_->applies.size(), 5u);
  EXPECT_EQ(dataplane_->services.at("web").port(), 50u);
  EXPECT_EQ(dataplane_->health.begin()->second.health(), v1::HEALTH_UP);
}

TEST_F(ReconcilerTest, LeavesADataplaneAloneThatHasEverything) {
  BringUp();
  dataplane_->DropConnections();
  ASSERT_TRUE(RunUntil([&] { return reconciler_->status() == nullptr; }));
  ASSERT_TRUE(RunUntil([&] { return reconciler_->status() != nullptr; }));
  RunFor(30ms);
  EXPECT_TRUE(dataplane_->applies.empty());
  EXPECT_EQ(reconciler_->resyncs_total(), 0u);
}

TEST_F(ReconcilerTest, SendsWhatChangedWhileTheConnectionWasGone) {
  BringUp();
  dataplane_->DropConnections();
  ASSERT_TRUE(RunUntil([&] { return reconciler_->status() == nullptr; }));
  reconciler_->SetServices(2, Services({{"web", 81}, {"dns", 53}}));
  ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(2); }));
  ASSERT_EQ(dataplane_->applies.size(), 1u);
  EXPECT_FALSE(dataplane_->applies[0].apply_services().replace());
  EXPECT_EQ(reconciler_->resyncs_total(), 0u);
}

TEST_F(ReconcilerTest, FillsARestartedDataplane) {
  BringUp();
  StartDataplane();
  ASSERT_TRUE(RunUntil([&] { return dataplane_->generation == 1; }));
  RunFor(20ms);
  ASSERT_EQ(dataplane_->applies.size(), 3u);
  EXPECT_TRUE(dataplane_->applies[0].has_apply_network());
  EXPECT_TRUE(dataplane_->applies[1].has_apply_health());
  EXPECT_TRUE(dataplane_->applies[2].apply_services().replace());
  EXPECT_EQ(reconciler_->resyncs_total(), 1u);
}

TEST_F(ReconcilerTest, RepairsDriftOfEachKind) {
  BringUp();
  dataplane_->services["web"].set_port(1);
  ASSERT_TRUE(RunUntil([&] { return dataplane_->services["web"].port() == 80; }));
  EXPECT_EQ(reconciler_->resyncs_total(), 1u);
  dataplane_->health.clear();
  ASSERT_TRUE(RunUntil([&] { return dataplane_->health.size() == 1; }));
  EXPECT_EQ(reconciler_->resyncs_total(), 2u);
  dataplane_->neighbours.clear();
  ASSERT_TRUE(RunUntil([&] { return dataplane_->neighbours.size() == 1; }));
  EXPECT_EQ(reconciler_->resyncs_total(), 3u);
  dataplane_->addresses.clear();
  ASSERT_TRUE(RunUntil([&] { return dataplane_->addresses.size() == 1; }));
  EXPECT_EQ(reconciler_->resyncs_total(), 4u);
  RunFor(20ms);
  EXPECT_EQ(dataplane_->applies.size(), 4u);
}

TEST_F(ReconcilerTest, ReplacesOnConflict) {
  BringUp();
  dataplane_->generation = 5;
  reconciler_->SetServices(6, Services({{"web", 81}}));
  ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(6); }));
  EXPECT_TRUE(dataplane_->applies.back().apply_services().replace());
  EXPECT_EQ(reconciler_->resyncs_total(), 1u);
}

TEST_F(ReconcilerTest, TriesAgainAfterARefusal) {
  BringUp();
  int refusals = 0;
  dataplane_->intercept = [&](const v1::Request& request, v1::Response& response) {
    if (!request.has_apply_network() || ++refusals > 2) return false;
    response.mutable_error()->set_code(v1::Error::CODE_INTERNAL);
    return true;
  };
  reconciler_->SetNetwork(Network({"10.0.3.0/24"}));
  ASSERT_TRUE(RunUntil([&] { return dataplane_->routes.contains("10.0.3.0/24"); }));
  EXPECT_EQ(refusals, 3);
}

TEST_F(ReconcilerTest, AnswersWaitersWhenTheDataplaneHasItOrTheTimeIsUp) {
  BringUp();
  std::vector<bool> answers;
  const auto note = [&](bool pushed) { answers.push_back(pushed); };
  reconciler_->WhenPushed(1, 1s, note);
  EXPECT_EQ(answers, (std::vector<bool>{true}));
  reconciler_->SetServices(2, Services({{"web", 81}}));
  reconciler_->WhenPushed(2, 1s, note);
  reconciler_->WhenPushed(3, 20ms, note);
  EXPECT_TRUE(RunUntil([&] { return answers.size() == 3; }));
  EXPECT_EQ(answers, (std::vector<bool>{true, true, false}));
  dataplane_->DropConnections();
  ASSERT_TRUE(RunUntil([&] { return reconciler_->status() == nullptr; }));
  reconciler_->WhenPushed(2, 1s, note);
  EXPECT_FALSE(answers.back());
}

TEST_F(ReconcilerTest, ARestartOfTheControlplaneDisturbsNothing) {
  BringUp();
  RestartControlplane();
  reconciler_->Start();
  reconciler_->SetNetwork(Network({"10.0.2.0/24"}));
  reconciler_->SetServices(1, Services({{"web", 80}, {"dns", 53}}));
  reconciler_->SetHealth({Health("web", v1::HEALTH_UNKNOWN)});
  RunFor(120ms);
  EXPECT_TRUE(dataplane_->applies.empty());  // unknown is not told to those who know
  reconciler_->ChangeHealth(Health("web", v1::HEALTH_UP));
  reconciler_->ReleaseHealth();
  RunFor(120ms);
  EXPECT_TRUE(dataplane_->applies.empty());
  EXPECT_EQ(reconciler_->resyncs_total(), 0u);
  reconciler_->ChangeHealth(Health("web", v1::HEALTH_DOWN));
  EXPECT_TRUE(RunUntil([&] { return dataplane_->applies.size() == 1; }));
}

TEST_F(ReconcilerTest, TheHoldEndsByItself) {
  BringUp();
  RestartControlplane();
  reconciler_->Start();
  reconciler_->SetNetwork(Network({"10.0.2.0/24"}));
  reconciler_->SetServices(2, Services({{"web", 81}}));
  reconciler_->SetHealth({Health("web", v1::HEALTH_UNKNOWN)});
  ASSERT_TRUE(RunUntil([&] { return reconciler_->HasServices(2); }));
  EXPECT_EQ(dataplane_->health.begin()->second.health(), v1::HEALTH_UNKNOWN);
}

TEST_F(ReconcilerTest, LeavesServicesAloneWithoutADesiredState) {
  BringUp();
  RestartControlplane();
  reconciler_->Start();
  reconciler_->SetNetwork(Network({"10.0.9.0/24"}));
  ASSERT_TRUE(RunUntil([&] { return dataplane_->routes.contains("10.0.9.0/24"); }));
  RunFor(400ms);
  EXPECT_EQ(dataplane_->services.size(), 2u);
  EXPECT_EQ(dataplane_->health.size(), 1u);
}

}  // namespace
}  // namespace steelyard::controlplane
