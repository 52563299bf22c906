// SPDX-License-Identifier: Apache-2.0
//
// What the API does, without gRPC's threads: the one place where a desired state is accepted and
// handed to everybody who acts on it. Owned by, called from and calling back on the io_context's
// one thread; each reply is called exactly once, at once or later.
//
// To add a call: an rpc in proto/controlplane.proto, a function here, and three lines in
// grpc_server.cc that name it.
#pragma once

#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "controlplane.pb.h"
#include "controlplane/config/validate.h"
#include "controlplane/dataplane_client/dataplane_client.h"
#include "controlplane/health/health_checker.h"
#include "controlplane/reconcile/reconciler.h"
#include "controlplane/state/delta.h"
#include "controlplane/state/desired_state_store.h"

namespace steelyard::controlplane {

class Controller {
 public:
  // All must outlive this. `queries` is a connection of its own, so that a long answer to a
  // question never stands before a push.
  struct Parts {
    DesiredStateStore& store;
    Reconciler& reconciler;
    HealthChecker& health;
    DataplaneClient& queries;
    // For validation: what the box has at this moment.
    std::function<OnBox()> on_box;
    // The rest of those who act on the services.
    std::function<void(const ResolvedServices&)> on_services;
  };
  template <typename Response>
  using Reply = std::function<void(const grpc::Status&, const Response&)>;

  explicit Controller(Parts parts);

  // Puts the stored state into force, if there is one.
  void Start();
  // For the health checker's callback.
  void OnHealthChange(const HealthStatus& status);

  void Apply(const v1::ApplyRequest& request, const Reply<v1::ApplyStateResponse>& reply);
  void GetState(const v1::GetStateRequest& request, const Reply<v1::GetStateResponse>& reply);
  void ListServices(const v1::ListServicesRequest& request,
                    const Reply<v1::ListServicesResponse>& reply);
  // In their order.
  void ListOutboundGateways(const v1::ListOutboundGatewaysRequest& request,
                            const Reply<v1::ListOutboundGatewaysResponse>& reply);
  // Replies for each part, all but the last with `more` true.
  using SessionsReply =
      std::function<void(const grpc::Status&, const v1::ListSessionsResponse&, bool more)>;
  void ListSessions(const v1::ListSessionsRequest& request, const SessionsReply& reply);
  void GetStats(const v1::GetStatsRequest& request, const Reply<v1::GetStatsResponse>& reply);
  void Lookup(const v1::LookupRequest& request, const Reply<v1::LookupResponse>& reply);
  void GetVersion(const v1::GetVersionRequest& request, const Reply<v1::GetVersionResponse>& reply);

 private:
  using BackendKey = std::tuple<std::string, std::string, uint32_t>;  // service, address, port

  // The store's state comes into force.
  void Adopt();
  void TellHealthChecker(const ResolvedServices& services);
  void AwaitFirstChecks();
  void FillService(const v1::Service& service, const v1::GetCountersResponse* counters,
                   v1::ServiceStatus& out) const;

  Parts parts_;
  std::shared_ptr<const ResolvedServices> services_;
  std::set<BackendKey> unchecked_;  // since the start; the last one's result releases health
};

}  // namespace steelyard::controlplane
