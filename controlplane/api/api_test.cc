// SPDX-License-Identifier: Apache-2.0
//
// The controller through gRPC, as steelyardctl meets it, with a dataplane that only keeps what it
// is told. The daemon's side runs on a thread of its own, as it does in the daemon.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/post.hpp>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <thread>

#include "controlplane.grpc.pb.h"
#include "controlplane/api/controller.h"
#include "controlplane/api/grpc_server.h"
#include "controlplane/dataplane_client/fake_dataplane.h"

namespace steelyard::controlplane {
namespace {

using namespace std::chrono_literals;

constexpr char kLocalAddress[] = "10.0.2.100";

v1::DesiredState OneService(uint32_t weight) {
  v1::DesiredState state;
  state.add_local_addresses(kLocalAddress);
  v1::Service& service = *state.add_services();
  service.set_name("web");
  service.set_address("10.0.1.10");
  service.set_port(80);
  service.set_protocol(v1::PROTOCOL_TCP);
  v1::Backend& backend = *service.add_backends();
  backend.set_address("10.0.2.11");
  backend.set_port(8080);
  backend.set_weight(weight);
  return state;
}

class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "steelyard-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    StartDaemon();
    channel_ =
        grpc::CreateChannel("unix:" + folder_ + "/api.sock", grpc::InsecureChannelCredentials());
    stub_ = v1::ControlPlane::NewStub(channel_);
  }

  ~ApiTest() override {
    OnDaemonThread([this] { server_->Stop([this] { io_.stop(); }); });
    thread_.join();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void StartDaemon() {
    const std::string socket = folder_ + "/dataplane.sock";
    dataplane_.emplace(io_, socket);
    store_ = std::move(*DesiredStateStore::Open(folder_ + "/state"));
    pushes_.emplace(io_, DataplaneClient::Options{socket, 5ms, 20ms});
    queries_.emplace(io_, DataplaneClient::Options{socket, 5ms, 20ms});
    reconciler_.emplace(io_, *pushes_, Reconciler::Options{});
    health_.emplace(io_,
                    [this](const HealthStatus& status) { controller_->OnHealthChange(status); });
    const auto on_box = [] {
      return OnBox{
          [](const net::IpAddress& address) { return net::ToString(address) == kLocalAddress; },
          {}};
    };
    controller_.emplace(Controller::Parts{*store_, *reconciler_, *health_, *queries_, on_box,
                                          [this](const ResolvedServices&) { ++services_told_; }});
    auto server = GrpcServer::Listen(io_, *controller_, folder_ + "/api.sock");
    ASSERT_TRUE(server);
    server_ = std::move(*server);
    controller_->Start();
    reconciler_->SetNetwork({});
    reconciler_->Start();
    queries_->Start();
    thread_ = std::thread([this] { io_.run(); });
    ASSERT_TRUE(WaitUntil([this] { return reconciler_->status() && queries_->connected(); }));
  }

  void OnDaemonThread(const std::function<void()>& work) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      work();
      done.set_value();
    });
    done.get_future().get();
  }

  bool WaitUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 3s;
    while (std::chrono::steady_clock::now() < deadline) {
      bool holds = false;
      OnDaemonThread([&] { holds = condition(); });
      if (holds) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }

  // The dataplane is gone for good.
  void LoseDataplane() {
    OnDaemonThread([this] { dataplane_.reset(); });
    ASSERT_TRUE(WaitUntil([this] { return !reconciler_->status() && !queries_->connected(); }));
  }

  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::ControlPlane::Stub::*method)(grpc::ClientContext*,
                                                                   const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 5s);
    return (*stub_.*method)(&context, request, &response);
  }

  grpc::Status Apply(const v1::DesiredState& state, v1::ApplyStateResponse& response,
                     uint64_t expected_generation = 0, bool dry_run = false) {
    v1::ApplyRequest request;
    *request.mutable_state() = state;
    request.set_expected_generation(expected_generation);
    request.set_dry_run(dry_run);
    response.Clear();
    return Call(&v1::ControlPlane::Stub::Apply, request, response);
  }

  std::string folder_;
  boost::asio::io_context io_;
  std::optional<FakeDataplane> dataplane_;
  std::unique_ptr<DesiredStateStore> store_;
  std::optional<DataplaneClient> pushes_;
  std::optional<DataplaneClient> queries_;
  std::optional<Reconciler> reconciler_;
  std::optional<HealthChecker> health_;
  std::optional<Controller> controller_;
  std::unique_ptr<GrpcServer> server_;
  std::thread thread_;
  int services_told_ = 0;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ControlPlane::Stub> stub_;
};

TEST_F(ApiTest, SocketIsForOwnerAndGroup) {
  struct stat file {};
  ASSERT_EQ(stat((folder_ + "/api.sock").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0660u);
}

TEST_F(ApiTest, AppliesAndAnswersWhenTheDataplaneHasIt) {
  v1::ApplyStateResponse response;
  ASSERT_TRUE(Apply(OneService(1), response).ok());
  EXPECT_EQ(response.generation(), 1u);
  EXPECT_TRUE(response.pushed());
  EXPECT_GT(response.changes_size(), 0);
  OnDaemonThread([this] {
    EXPECT_EQ(dataplane_->generation, 1u);
    // Resolved: nothing is left to the dataplane.
    EXPECT_EQ(dataplane_->services.at("web").scheduler(), v1::SCHEDULER_WEIGHTED_ROUND_ROBIN);
    EXPECT_EQ(dataplane_->services.at("web").local_addresses(0), kLocalAddress);
    EXPECT_EQ(services_told_, 1);
    EXPECT_EQ(reconciler_->resyncs_total(), 0u);  // the first push repairs nothing
  });
  ASSERT_TRUE(Apply(OneService(1), response).ok());
  EXPECT_EQ(response.generation(), 1u);
  EXPECT_EQ(response.changes_size(), 0);
  EXPECT_TRUE(response.pushed());
}

TEST_F(ApiTest, RejectsWholeWithEveryViolation) {
  v1::ApplyStateResponse response;
  ASSERT_TRUE(Apply(OneService(1), response).ok());
  v1::DesiredState bad = OneService(2);
  bad.set_local_addresses(0, "10.0.2.200");
  bad.mutable_services(0)->set_port(70000);
  ASSERT_TRUE(Apply(bad, response).ok());
  EXPECT_EQ(response.violations_size(), 2);
  EXPECT_EQ(response.generation(), 1u);
  EXPECT_FALSE(response.pushed());
  OnDaemonThread([this] {
    EXPECT_EQ(store_->generation(), 1u);
    EXPECT_EQ(dataplane_->generation, 1u);
  });
}

TEST_F(ApiTest, DryRunChangesNothing) {
  v1::ApplyStateResponse response;
  ASSERT_TRUE(Apply(OneService(1), response, 0, true).ok());
  EXPECT_GT(response.changes_size(), 0);
  EXPECT_FALSE(response.pushed());
  OnDaemonThread([this] { EXPECT_EQ(store_->generation(), 0u); });
}

TEST_F(ApiTest, RefusesAnotherGenerationThanExpected) {
  v1::ApplyStateResponse response;
  ASSERT_TRUE(Apply(OneService(1), response).ok());
  EXPECT_EQ(Apply(OneService(2), response, 7).error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(Apply(OneService(2), response, 7, true).error_code(), grpc::StatusCode::ABORTED);
  EXPECT_TRUE(Apply(OneService(2), response, 1).ok());
  EXPECT_EQ(response.generation(), 2u);
}

TEST_F(ApiTest, AcceptsWithoutADataplaneAndSaysSo) {
  LoseDataplane();
  v1::ApplyStateResponse response;
  ASSERT_TRUE(Apply(OneService(1), response).ok());
  EXPECT_EQ(response.generation(), 1u);
  EXPECT_FALSE(response.pushed());
}

TEST_F(ApiTest, ShowsServicesWithHealthAndCounters) {
  v1::ApplyStateResponse applied;
  ASSERT_TRUE(Apply(OneService(1), applied).ok());
  v1::ListServicesRequest request;
  v1::ListServicesResponse response;
  request.set_name("web");
  ASSERT_TRUE(Call(&v1::ControlPlane::Stub::ListServices, request, response).ok());
  ASSERT_EQ(response.services_size(), 1);
  ASSERT_EQ(response.services(0).backends_size(), 1);
  EXPECT_EQ(response.services(0).backends(0).health(), v1::HEALTH_UNCHECKED);
  EXPECT_TRUE(response.services(0).backends(0).has_counters());
  request.set_name("nobody");
  EXPECT_EQ(Call(&v1::ControlPlane::Stub::ListServices, request, response).error_code(),
            grpc::StatusCode::NOT_FOUND);
  LoseDataplane();
  request.clear_name();
  ASSERT_TRUE(Call(&v1::ControlPlane::Stub::ListServices, request, response).ok());
  EXPECT_FALSE(response.services(0).backends(0).has_counters());
}

TEST_F(ApiTest, ShowsOutboundGatewaysWithCounters) {
  v1::DesiredState state;
  v1::OutboundGateway& gateway = *state.add_outbound_gateways();
  gateway.set_name("office");
  gateway.add_inside_prefixes("10.0.3.0/24");
  gateway.add_outside_addresses(kLocalAddress);
  v1::ApplyStateResponse applied;
  ASSERT_TRUE(Apply(state, applied).ok());
  ASSERT_TRUE(applied.pushed()) << applied.DebugString();
  OnDaemonThread([this] {
    ASSERT_EQ(dataplane_->outbound_gateways.size(), 1u);
    EXPECT_EQ(dataplane_->outbound_gateways[0].protocols_size(), 3) << "not resolved";
  });
  v1::ListOutboundGatewaysRequest request;
  v1::ListOutboundGatewaysResponse response;
  for (const char* name : {"", "office"}) {
    request.set_name(name);
    ASSERT_TRUE(Call(&v1::ControlPlane::Stub::ListOutboundGateways, request, response).ok());
    EXPECT_EQ(response.generation(), 1u);
    ASSERT_EQ(response.outbound_gateways_size(), 1);
    EXPECT_EQ(response.outbound_gateways(0).outbound_gateway().name(), "office");
    EXPECT_TRUE(response.outbound_gateways(0).has_counters());
  }
  request.set_name("nobody");
  EXPECT_EQ(Call(&v1::ControlPlane::Stub::ListOutboundGateways, request, response).error_code(),
            grpc::StatusCode::NOT_FOUND);
  v1::GetStatsResponse stats;
  ASSERT_TRUE(Call(&v1::ControlPlane::Stub::GetStats, v1::GetStatsRequest{}, stats).ok());
  EXPECT_EQ(stats.counters().outbound_gateways_size(), 1);
  LoseDataplane();
  request.set_name("office");
  ASSERT_TRUE(Call(&v1::ControlPlane::Stub::ListOutboundGateways, request, response).ok());
  EXPECT_FALSE(response.outbound_gateways(0).has_counters());
}

TEST_F(ApiTest, KeepsHistory) {
  v1::ApplyStateResponse applied;
  ASSERT_TRUE(Apply(OneService(1), applied).ok());
  ASSERT_TRUE(Apply(OneService(2), applied).ok());
  v1::GetStateRequest request;
  v1::GetStateResponse response;
  ASSERT_TRUE(Call(&v1::ControlPlane::Stub::GetState, request, response).ok());
  EXPECT_EQ(response.generation(), 2u);
  request.set_generation(1);
  ASSERT_TRUE(Call(&v1::ControlPlane::Stub::GetState, request, response).ok());
  EXPECT_EQ(response.state().services(0).backends(0).weight(), 1u);
  request.set_generation(9);
  EXPECT_EQ(Call(&v1::ControlPlane::Stub::GetState, request, response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ApiTest, StreamsSessions) {
  OnDaemonThread([this] { dataplane_->sessions.resize(5); });
  grpc::ClientContext context;
  const auto reader = stub_->ListSessions(&context, {});
  v1::ListSessionsResponse part;
  int sessions = 0;
  while (reader->Read(&part)) sessions += part.sessions_size();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(sessions, 5);
}

TEST_F(ApiTest, PassesTheDataplanesErrorsOn) {
  OnDaemonThread([this] {
    dataplane_->intercept = [](const v1::Request& request, v1::Response& response) {
      if (!request.has_lookup() && !request.has_list_sessions()) return false;
      response.mutable_error()->set_code(v1::Error::CODE_INVALID_ARGUMENT);
      response.mutable_error()->set_path("source.address");
      response.mutable_error()->set_message("not an address");
      return true;
    };
  });
  v1::LookupResponse response;
  const grpc::Status status = Call(&v1::ControlPlane::Stub::Lookup, v1::LookupRequest{}, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "source.address: not an address");
  grpc::ClientContext context;
  EXPECT_EQ(stub_->ListSessions(&context, {})->Finish().error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ApiTest, SaysWhenTheDataplaneIsAway) {
  v1::GetVersionResponse version;
  ASSERT_TRUE(Call(&v1::ControlPlane::Stub::GetVersion, v1::GetVersionRequest{}, version).ok());
  EXPECT_EQ(version.dataplane_version(), "fake");
  EXPECT_EQ(version.resyncs_total(), 0u);
  LoseDataplane();
  ASSERT_TRUE(Call(&v1::ControlPlane::Stub::GetVersion, v1::GetVersionRequest{}, version).ok());
  EXPECT_EQ(version.dataplane_version(), "");
  v1::LookupResponse lookup;
  EXPECT_EQ(Call(&v1::ControlPlane::Stub::Lookup, v1::LookupRequest{}, lookup).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  v1::GetStatsResponse stats;
  EXPECT_EQ(Call(&v1::ControlPlane::Stub::GetStats, v1::GetStatsRequest{}, stats).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  grpc::ClientContext context;
  EXPECT_EQ(stub_->ListSessions(&context, {})->Finish().error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ApiTest, StopsWhileACallWaits) {
  OnDaemonThread([this] { dataplane_->silent = true; });
  std::thread caller([this] {
    v1::LookupResponse response;
    EXPECT_FALSE(Call(&v1::ControlPlane::Stub::Lookup, v1::LookupRequest{}, response).ok());
  });
  std::this_thread::sleep_for(50ms);
  const auto start = std::chrono::steady_clock::now();
  OnDaemonThread([this] { server_->Stop([this] { io_.stop(); }); });
  thread_.join();
  caller.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 3s);
  // What the destructor wants to stop.
  io_.restart();
  server_ = std::move(*GrpcServer::Listen(io_, *controller_, folder_ + "/other.sock"));
  thread_ = std::thread([this] { io_.run(); });
}

}  // namespace
}  // namespace steelyard::controlplane
