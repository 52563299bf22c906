// SPDX-License-Identifier: Apache-2.0
//
// A control plane for tests: a gRPC server on a unix socket in a directory of its own that answers
// what the test has laid ready, and keeps what it was asked.
#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <vector>

#include "controlplane.grpc.pb.h"

namespace steelyard::controlplane::cli {

class FakeControlPlane final : public v1::ControlPlane::Service {
 public:
  FakeControlPlane();
  ~FakeControlPlane() override;

  const std::string& directory() const { return directory_; }
  std::string socket() const { return directory_ + "/controlplane.sock"; }
  void Shutdown();

  // Set before, read after a command.
  grpc::Status status;  // of every call
  v1::ApplyStateResponse apply_response;
  v1::ListServicesResponse services_response;
  v1::ListOutboundGatewaysResponse gateways_response;
  std::vector<v1::ListSessionsResponse> sessions_responses;
  v1::GetStatsResponse stats_response;
  v1::LookupResponse lookup_response;
  v1::GetVersionResponse version_response;

  v1::ApplyRequest apply_request;
  v1::ListServicesRequest services_request;
  v1::ListOutboundGatewaysRequest gateways_request;
  v1::ListSessionsRequest sessions_request;
  v1::LookupRequest lookup_request;
  int calls = 0;

 private:
  using Context = grpc::ServerContext*;
  grpc::Status Apply(Context, const v1::ApplyRequest*, v1::ApplyStateResponse*) override;
  grpc::Status ListServices(Context, const v1::ListServicesRequest*,
                            v1::ListServicesResponse*) override;
  grpc::Status ListOutboundGateways(Context, const v1::ListOutboundGatewaysRequest*,
                                    v1::ListOutboundGatewaysResponse*) override;
  grpc::Status ListSessions(Context, const v1::ListSessionsRequest*,
                            grpc::ServerWriter<v1::ListSessionsResponse>*) override;
  grpc::Status GetStats(Context, const v1::GetStatsRequest*, v1::GetStatsResponse*) override;
  grpc::Status Lookup(Context, const v1::LookupRequest*, v1::LookupResponse*) override;
  grpc::Status GetVersion(Context, const v1::GetVersionRequest*, v1::GetVersionResponse*) override;

  std::string directory_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace steelyard::controlplane::cli
