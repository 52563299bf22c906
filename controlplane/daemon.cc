// SPDX-License-Identifier: Apache-2.0
#include "controlplane/daemon.h"

#include <chrono>
#include <csignal>
#include <stdexcept>
#include <utility>

#include "controlplane/api/on_box.h"
#include "controlplane/config/declared_state.h"
#include "controlplane/config/source_map.h"
#include "controlplane/log.h"

namespace steelyard::controlplane {
namespace {

using namespace std::chrono_literals;

constexpr auto kMetricsInterval = 1s;
constexpr auto kNetworkPatience = 10s;

std::unique_ptr<DesiredStateStore> OpenStore(const std::string& directory) {
  auto store = DesiredStateStore::Open(directory);
  if (!store) throw std::runtime_error(store.error().message);
  return std::move(*store);
}

// Runs the loop until the kernel has told everything once.
void ReadNetwork(boost::asio::io_context& io, NetworkMonitor& monitor) {
  monitor.Start();
  const auto deadline = std::chrono::steady_clock::now() + kNetworkPatience;
  while (!monitor.complete()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error("the kernel does not tell its network");
    io.restart();
    io.run_one_until(deadline);
  }
  io.restart();
}

DeclaredState ReadServices(const std::string& path, const KernelNetwork& network) {
  DeclaredState declared = ReadDeclaredState(path);
  ValidateDeclaredState(declared, MakeOnBox(network));
  return declared;
}

}  // namespace

std::string CheckServicesFile(const std::string& path) {
  boost::asio::io_context io;
  NetlinkRequests netlink(io);
  NetworkMonitor monitor(io, netlink);
  ReadNetwork(io, monitor);
  const DeclaredState declared = ReadServices(path, monitor.network());
  return declared.ok() ? std::string() : FormatFaults(path, declared.faults);
}

Daemon::Daemon(DaemonConfig config)
    : config_(std::move(config)),
      store_(OpenStore(config_.state_directory)),
      vip_record_(config_.state_directory + "/vips"),
      netlink_(io_),
      monitor_(io_, netlink_),
      neighbours_(io_, netlink_, monitor_),
      vips_(io_, netlink_, monitor_, vip_record_),
      pushes_(io_, {config_.dataplane_socket}),
      queries_(io_, {config_.dataplane_socket}),
      reconciler_(io_, pushes_, {}),
      network_sync_(io_, {pushes_, reconciler_, monitor_, neighbours_, vips_}),
      health_(io_, [this](const HealthStatus& status) { controller_.OnHealthChange(status); }),
      controller_(
          {*store_, reconciler_, health_, queries_,
           [this] { return MakeOnBox(monitor_.network()); },
           [this](const ResolvedServices& services) { network_sync_.SetServices(services); }}),
      signals_(io_, SIGTERM, SIGINT, SIGHUP),
      metrics_timer_(io_) {
  if (const net::Status loaded = vip_record_.Load(); !loaded)
    throw std::runtime_error(loaded.error().message);
  ReadNetwork(io_, monitor_);
  if (!config_.services_file.empty()) {
    DeclaredState declared = ReadServices(config_.services_file, monitor_.network());
    if (!declared.ok())
      throw std::runtime_error(FormatFaults(config_.services_file, declared.faults));
    first_services_ = std::move(declared.state);
  }
  metrics_ = std::make_unique<MetricsServer>(config_.metrics_address);
  auto api = GrpcServer::Listen(io_, controller_, config_.api_socket);
  if (!api) throw std::runtime_error(api.error().message);
  api_ = std::move(*api);
}

void Daemon::Run() {
  Log("steelyard-controlplane started", {{"version", STEELYARD_VERSION},
                                         {"generation", std::to_string(store_->generation())},
                                         {"api_socket", config_.api_socket},
                                         {"metrics", net::ToString(config_.metrics_address)}});
  WaitForSignal();
  controller_.Start();
  if (first_services_) ApplyServices(*std::exchange(first_services_, std::nullopt));
  neighbours_.Start();
  network_sync_.Start();
  reconciler_.Start();
  queries_.Start();
  FeedMetrics();
  io_.run();
}

void Daemon::WaitForSignal() {
  signals_.async_wait([this](const boost::system::error_code& cancelled, int signal) {
    if (cancelled) return;
    WaitForSignal();
    if (signal == SIGHUP) return ReloadServicesFile();
    Log("stopping", {{"signal", std::to_string(signal)}});
    signals_.cancel();
    api_->Stop([this] { io_.stop(); });
  });
}

void Daemon::ReloadServicesFile() {
  if (config_.services_file.empty()) return Log("SIGHUP ignored: no services_file is configured");
  const DeclaredState declared = ReadServices(config_.services_file, monitor_.network());
  if (declared.ok()) return ApplyServices(declared.state);
  Log("services_file rejected, nothing changes", {{"file", config_.services_file}});
  std::fputs(FormatFaults(config_.services_file, declared.faults).c_str(), stderr);
}

void Daemon::ApplyServices(const v1::DesiredState& state) {
  v1::ApplyRequest request;
  *request.mutable_state() = state;
  controller_.Apply(request, [this](const grpc::Status& status, const auto& response) {
    // Validated before: what can fail here is the disk.
    if (!status.ok())
      return Log("services_file cannot be applied", {{"error", status.error_message()}});
    Log("services_file is in force", {{"file", config_.services_file},
                                      {"generation", std::to_string(response.generation())},
                                      {"pushed", response.pushed() ? "yes" : "no"}});
  });
}

void Daemon::FeedMetricsSoon() {
  metrics_timer_.expires_after(kMetricsInterval);
  metrics_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) FeedMetrics();
  });
}

void Daemon::FeedMetrics() {
  v1::Request request;
  request.mutable_get_counters();
  queries_.Send(std::move(request), [this](v1::Response* response) {
    SetMetrics(response);
    FeedMetricsSoon();
  });
}

void Daemon::SetMetrics(const v1::Response* counters) {
  const auto data = std::make_shared<MetricsData>();
  data->controlplane_version = STEELYARD_VERSION;
  data->generation = store_->generation();
  data->resyncs_total = reconciler_.resyncs_total();
  data->health = health_.GetAll();
  if (const v1::GetStatusResponse* status = reconciler_.status()) data->status = *status;
  if (counters != nullptr && counters->has_get_counters())
    data->counters = counters->get_counters();
  metrics_->Set(data);
}

}  // namespace steelyard::controlplane
