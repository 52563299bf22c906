// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/fake_control_plane.h"

#include <grpcpp/server_builder.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace steelyard::controlplane::cli {
namespace {

std::string MakeDirectory() {
  std::string form = std::filesystem::temp_directory_path() / "steelyardctl-test-XXXXXX";
  if (mkdtemp(form.data()) == nullptr) throw std::runtime_error("cannot make " + form);
  return form;
}

}  // namespace

FakeControlPlane::FakeControlPlane() : directory_(MakeDirectory()) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket(), grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) throw std::runtime_error("cannot listen on " + socket());
}

FakeControlPlane::~FakeControlPlane() {
  Shutdown();
  std::filesystem::remove_all(directory_);
}

void FakeControlPlane::Shutdown() {
  server_->Shutdown();
  server_->Wait();
}

grpc::Status FakeControlPlane::Apply(Context, const v1::ApplyRequest* request,
                                     v1::ApplyStateResponse* response) {
  ++calls;
  apply_request = *request;
  *response = apply_response;
  return status;
}

grpc::Status FakeControlPlane::ListServices(Context, const v1::ListServicesRequest* request,
                                            v1::ListServicesResponse* response) {
  ++calls;
  services_request = *request;
  *response = services_response;
  return status;
}

grpc::Status FakeControlPlane::ListOutboundGateways(Context,
                                                    const v1::ListOutboundGatewaysRequest* request,
                                                    v1::ListOutboundGatewaysResponse* response) {
  ++calls;
  gateways_request = *request;
  *response = gateways_response;
  return status;
}

grpc::Status FakeControlPlane::ListSessions(Context, const v1::ListSessionsRequest* request,
                                            grpc::ServerWriter<v1::ListSessionsResponse>* writer) {
  ++calls;
  sessions_request = *request;
  for (const v1::ListSessionsResponse& response : sessions_responses) writer->Write(response);
  return status;
}

grpc::Status FakeControlPlane::GetStats(Context, const v1::GetStatsRequest*,
                                        v1::GetStatsResponse* response) {
  ++calls;
  *response = stats_response;
  return status;
}

grpc::Status FakeControlPlane::Lookup(Context, const v1::LookupRequest* request,
                                      v1::LookupResponse* response) {
  ++calls;
  lookup_request = *request;
  *response = lookup_response;
  return status;
}

grpc::Status FakeControlPlane::GetVersion(Context, const v1::GetVersionRequest*,
                                          v1::GetVersionResponse* response) {
  ++calls;
  *response = version_response;
  return status;
}

}  // namespace steelyard::controlplane::cli
