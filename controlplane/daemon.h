// SPDX-License-Identifier: Apache-2.0
//
// steelyard-controlplane: the parts and how they hang together. Everything but gRPC's and the
// metrics server's threads runs on the one thread that calls Run(), and that thread owns all state.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>

#include "controlplane/api/controller.h"
#include "controlplane/api/grpc_server.h"
#include "controlplane/config/daemon_config.h"
#include "controlplane/dataplane_client/dataplane_client.h"
#include "controlplane/health/health_checker.h"
#include "controlplane/metrics/metrics_server.h"
#include "controlplane/netlink/neighbour_keeper.h"
#include "controlplane/netlink/netlink_requests.h"
#include "controlplane/netlink/network_monitor.h"
#include "controlplane/netlink/vip_keeper.h"
#include "controlplane/netlink/vip_record.h"
#include "controlplane/reconcile/network_sync.h"
#include "controlplane/reconcile/reconciler.h"
#include "controlplane/state/desired_state_store.h"

namespace steelyard::controlplane {

// Reads services_file and validates it against this box, touching nothing. Empty when it is good;
// else what is wrong with it, a line each.
std::string CheckServicesFile(const std::string& path);

class Daemon {
 public:
  // Loads the state, reads the kernel's network and the services_file, and opens the sockets.
  // Throws std::runtime_error with a text for people, having changed nothing on the box.
  explicit Daemon(DaemonConfig config);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Until SIGTERM or SIGINT. VIPs and dataplane stay as they are.
  void Run();

 private:
  void WaitForSignal();
  void ReloadServicesFile();
  void ApplyServices(const v1::DesiredState& state);
  void FeedMetricsSoon();
  void FeedMetrics();
  void SetMetrics(const v1::Response* counters);

  const DaemonConfig config_;
  boost::asio::io_context io_;
  const std::unique_ptr<DesiredStateStore> store_;
  VipRecord vip_record_;
  NetlinkRequests netlink_;
  NetworkMonitor monitor_;
  NeighbourKeeper neighbours_;
  VipKeeper vips_;
  DataplaneClient pushes_;
  DataplaneClient queries_;
  Reconciler reconciler_;
  NetworkSync network_sync_;
  HealthChecker health_;
  Controller controller_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer metrics_timer_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<GrpcServer> api_;
  std::optional<v1::DesiredState> first_services_;  // of services_file
};

}  // namespace steelyard::controlplane
