// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/controller.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "controlplane/config/resolve.h"
#include "controlplane/log.h"

namespace steelyard::controlplane {
namespace {

// How long an Apply waits for the dataplane before it answers that the push is still to come.
constexpr std::chrono::seconds kPushPatience{10};

grpc::Status Away() {
  return {grpc::StatusCode::UNAVAILABLE, "the dataplane cannot be reached"};
}

grpc::Status ToStatus(const v1::Error& error) {
  const std::string text =
      error.path().empty() ? error.message() : error.path() + ": " + error.message();
  switch (error.code()) {
    case v1::Error::CODE_INVALID_ARGUMENT:
      return {grpc::StatusCode::INVALID_ARGUMENT, text};
    case v1::Error::CODE_NOT_FOUND:
      return {grpc::StatusCode::NOT_FOUND, text};
    case v1::Error::CODE_CONFLICT:
      return {grpc::StatusCode::ABORTED, text};
    case v1::Error::CODE_RESOURCE_EXHAUSTED:
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, text};
    default:
      return {grpc::StatusCode::INTERNAL, text};
  }
}

grpc::Status StatusOf(const v1::Response* response) {
  if (response == nullptr) return Away();
  return response->has_error() ? ToStatus(response->error()) : grpc::Status::OK;
}

grpc::Status Conflict(uint64_t expected, uint64_t current) {
  return {grpc::StatusCode::ABORTED, "generation " + std::to_string(expected) +
                                         " was expected, the current one is " +
                                         std::to_string(current)};
}

v1::BackendHealth ToBackendHealth(const HealthStatus& status) {
  v1::BackendHealth health;
  health.set_service(status.service);
  health.set_address(status.address);
  health.set_port(status.port);
  health.set_health(status.health);
  return health;
}

template <typename List>
void Move(std::vector<typename List::value_type>& from, List& to) {
  for (auto& element : from) to.Add(std::move(element));
}

}  // namespace

Controller::Controller(Parts parts)
    : parts_(std::move(parts)), services_(std::make_shared<const ResolvedServices>()) {}

void Controller::Start() {
  // Without a desired state nobody is told anything: an empty directory must not empty a dataplane.
  if (parts_.store.generation() != 0) Adopt();
  AwaitFirstChecks();
}

void Controller::Adopt() {
  const auto services =
      std::make_shared<const ResolvedServices>(ResolveServices(parts_.store.state()));
  TellHealthChecker(*services);
  services_ = services;
  parts_.reconciler.SetServices(parts_.store.generation(), services);
  std::vector<v1::BackendHealth> health;
  // A backend without an entry is HEALTH_UNCHECKED.
  for (const HealthStatus& status : parts_.health.GetAll())
    if (status.health != v1::HEALTH_UNCHECKED) health.push_back(ToBackendHealth(status));
  parts_.reconciler.SetHealth(health);
  parts_.on_services(*services);
}

void Controller::TellHealthChecker(const ResolvedServices& services) {
  const ServicesDelta delta = MakeDelta(*services_, services);
  for (const std::string& name : delta.removed) parts_.health.RemoveService(name);
  for (const v1::Service& service : delta.changed) parts_.health.SetService(service);
}

void Controller::AwaitFirstChecks() {
  std::set<BackendKey> disabled;
  for (const v1::Service& service : services_->services)
    for (const v1::Backend& backend : service.backends())
      if (backend.admin_state() == v1::ADMIN_STATE_DISABLED)
        disabled.insert({service.name(), backend.address(), backend.port()});
  for (const HealthStatus& status : parts_.health.GetAll()) {
    const BackendKey key{status.service, status.address, status.port};
    if (status.health == v1::HEALTH_UNKNOWN && !disabled.contains(key)) unchecked_.insert(key);
  }
  if (unchecked_.empty()) parts_.reconciler.ReleaseHealth();
}

void Controller::OnHealthChange(const HealthStatus& status) {
  Log("health changed", {{"service", status.service},
                         {"backend", status.address + ":" + std::to_string(status.port)},
                         {"health", v1::Health_Name(status.health)},
                         {"reason", status.reason}});
  parts_.reconciler.ChangeHealth(ToBackendHealth(status));
  if (unchecked_.erase({status.service, status.address, status.port}) > 0 && unchecked_.empty())
    parts_.reconciler.ReleaseHealth();
}

void Controller::Apply(const v1::ApplyRequest& request,
                       const Reply<v1::ApplyStateResponse>& reply) {
  v1::ApplyStateResponse response;
  response.set_generation(parts_.store.generation());
  std::vector<v1::Violation> violations = Validate(request.state(), parts_.on_box());
  if (!violations.empty()) {
    Move(violations, *response.mutable_violations());
    return reply(grpc::Status::OK, response);
  }
  using Outcome = DesiredStateStore::Outcome;
  DesiredStateStore::Applied applied =
      request.dry_run() ? parts_.store.Preview(request.state(), request.expected_generation())
                        : parts_.store.Apply(request.state(), request.expected_generation());
  if (applied.outcome == Outcome::kConflict)
    return reply(Conflict(request.expected_generation(), applied.generation), response);
  if (applied.outcome == Outcome::kFailed) {
    Log("state cannot be stored", {{"error", applied.error}});
    return reply({grpc::StatusCode::INTERNAL, applied.error}, response);
  }
  response.set_generation(applied.generation);
  const size_t changes = applied.changes.size();
  Move(applied.changes, *response.mutable_changes());
  if (applied.outcome == Outcome::kStored && !request.dry_run()) {
    Log("state accepted",
        {{"generation", std::to_string(applied.generation)},
         {"services", std::to_string(request.state().services_size())},
         {"outbound_gateways", std::to_string(request.state().outbound_gateways_size())},
         {"changes", std::to_string(changes)}});
    Adopt();
  }
  if (request.dry_run() || applied.generation == 0) {
    response.set_pushed(parts_.reconciler.HasServices(applied.generation));
    return reply(grpc::Status::OK, response);
  }
  parts_.reconciler.WhenPushed(applied.generation, kPushPatience,
                               [reply, response](bool pushed) mutable {
                                 response.set_pushed(pushed);
                                 reply(grpc::Status::OK, response);
                               });
}

void Controller::GetState(const v1::GetStateRequest& request,
                          const Reply<v1::GetStateResponse>& reply) {
  v1::GetStateResponse response;
  const uint64_t generation =
      request.generation() == 0 ? parts_.store.generation() : request.generation();
  response.set_generation(generation);
  if (generation == parts_.store.generation()) {
    *response.mutable_state() = parts_.store.state();
    return reply(grpc::Status::OK, response);
  }
  auto state = parts_.store.Get(generation);
  if (!state) return reply({grpc::StatusCode::INTERNAL, state.error().message}, response);
  if (!*state)
    return reply({grpc::StatusCode::NOT_FOUND,
                  "generation " + std::to_string(generation) + " is not in the history"},
                 response);
  *response.mutable_state() = std::move(**state);
  reply(grpc::Status::OK, response);
}

void Controller::ListServices(const v1::ListServicesRequest& request,
                              const Reply<v1::ListServicesResponse>& reply) {
  const auto has_name = [&request](const v1::Service& service) {
    return service.name() == request.name();
  };
  if (!request.name().empty() && std::ranges::none_of(services_->services, has_name))
    return reply({grpc::StatusCode::NOT_FOUND, "no service is named " + request.name()}, {});
  v1::Request counters;
  counters.mutable_get_counters();
  const uint64_t generation = parts_.store.generation();
  parts_.queries.Send(
      std::move(counters),
      [this, reply, name = request.name(), services = services_, generation](v1::Response* answer) {
        const bool has_counters = answer != nullptr && answer->has_get_counters();
        v1::ListServicesResponse response;
        response.set_generation(generation);
        for (const v1::Service& service : services->services)
          if (name.empty() || service.name() == name)
            FillService(service, has_counters ? &answer->get_counters() : nullptr,
                        *response.add_services());
        reply(grpc::Status::OK, response);
      });
}

void Controller::FillService(const v1::Service& service, const v1::GetCountersResponse* counters,
                             v1::ServiceStatus& out) const {
  *out.mutable_service() = service;
  std::map<std::pair<std::string, uint32_t>, HealthStatus> health;
  for (HealthStatus& status : parts_.health.GetService(service.name()))
    health[{status.address, status.port}] = std::move(status);
  std::map<std::pair<std::string, uint32_t>, const v1::BackendCounters*> counts;
  if (counters != nullptr)
    for (const v1::ServiceCounters& candidate : counters->services())
      if (candidate.name() == service.name())
        for (const v1::BackendCounters& backend : candidate.backends())
          counts[{backend.address(), backend.port()}] = &backend;
  for (const v1::Backend& backend : service.backends()) {
    v1::BackendStatus& status = *out.add_backends();
    *status.mutable_backend() = backend;
    const std::pair key{backend.address(), backend.port()};
    const HealthStatus& known = health[key];
    status.set_health(known.health);
    status.set_since_unix_ms(known.since_unix_ms);
    status.set_reason(known.reason);
    status.set_checks_total(known.checks_total);
    status.set_check_failures_total(known.check_failures_total);
    if (const auto count = counts.find(key); count != counts.end())
      *status.mutable_counters() = *count->second;
  }
}

void Controller::ListOutboundGateways(const v1::ListOutboundGatewaysRequest& request,
                                      const Reply<v1::ListOutboundGatewaysResponse>& reply) {
  const auto has_name = [&request](const v1::OutboundGateway& gateway) {
    return gateway.name() == request.name();
  };
  if (!request.name().empty() && std::ranges::none_of(services_->outbound_gateways, has_name))
    return reply({grpc::StatusCode::NOT_FOUND, "no outbound gateway is named " + request.name()},
                 {});
  v1::Request counters;
  counters.mutable_get_counters();
  const uint64_t generation = parts_.store.generation();
  parts_.queries.Send(std::move(counters), [reply, name = request.name(), services = services_,
                                            generation](v1::Response* answer) {
    std::map<std::string, v1::OutboundGatewayCounters> counts;
    if (answer != nullptr)
      for (const auto& gateway : answer->get_counters().outbound_gateways())
        counts[gateway.name()] = gateway;
    v1::ListOutboundGatewaysResponse response;
    response.set_generation(generation);
    for (const v1::OutboundGateway& gateway : services->outbound_gateways) {
      if (!name.empty() && gateway.name() != name) continue;
      v1::OutboundGatewayStatus& status = *response.add_outbound_gateways();
      *status.mutable_outbound_gateway() = gateway;
      if (const auto count = counts.find(gateway.name()); count != counts.end())
        *status.mutable_counters() = count->second;
    }
    reply(grpc::Status::OK, response);
  });
}

void Controller::ListSessions(const v1::ListSessionsRequest& request, const SessionsReply& reply) {
  v1::Request question;
  *question.mutable_list_sessions() = request;
  parts_.queries.Send(std::move(question), [reply](v1::Response* answer) {
    const grpc::Status status = StatusOf(answer);
    const bool more = status.ok() && answer->more();
    reply(status, answer ? answer->list_sessions() : v1::ListSessionsResponse{}, more);
  });
}

void Controller::GetStats(const v1::GetStatsRequest&, const Reply<v1::GetStatsResponse>& reply) {
  v1::Request status;
  status.mutable_get_status();
  const auto response = std::make_shared<v1::GetStatsResponse>();
  parts_.queries.Send(std::move(status), [response](v1::Response* answer) {
    if (answer != nullptr) *response->mutable_dataplane() = answer->get_status();
  });
  v1::Request counters;
  counters.mutable_get_counters();
  // Answered after the status: one connection's answers keep their order.
  parts_.queries.Send(std::move(counters), [reply, response](v1::Response* answer) {
    if (answer != nullptr) *response->mutable_counters() = answer->get_counters();
    reply(StatusOf(answer), *response);
  });
}

void Controller::Lookup(const v1::LookupRequest& request, const Reply<v1::LookupResponse>& reply) {
  v1::Request question;
  *question.mutable_lookup() = request;
  parts_.queries.Send(std::move(question), [reply](v1::Response* answer) {
    reply(StatusOf(answer), answer ? answer->lookup() : v1::LookupResponse{});
  });
}

void Controller::GetVersion(const v1::GetVersionRequest&,
                            const Reply<v1::GetVersionResponse>& reply) {
  v1::GetVersionResponse response;
  response.set_controlplane_version(STEELYARD_VERSION);
  response.set_generation(parts_.store.generation());
  response.set_resyncs_total(parts_.reconciler.resyncs_total());
  if (const v1::GetStatusResponse* status = parts_.reconciler.status()) {
    response.set_dataplane_version(status->version());
    response.set_dataplane_generation(status->generation());
  }
  reply(grpc::Status::OK, response);
}

}  // namespace steelyard::controlplane
