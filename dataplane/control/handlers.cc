// SPDX-License-Identifier: Apache-2.0
#include "control/handlers.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "control/request_error.h"
#include "proto/convert.h"

namespace steelyard::control {

using v1::Request;
using v1::Response;

struct HandlerTable {
  struct Row {
    Request::BodyCase body;
    void (Handlers::*handle)(const Request&, Response&);
  };
  static constexpr std::array kRows = {
      Row{Request::kGetStatus, &Handlers::GetStatus},
      Row{Request::kApplyServices, &Handlers::ApplyServices},
      Row{Request::kApplyNetwork, &Handlers::ApplyNetwork},
      Row{Request::kApplyHealth, &Handlers::ApplyHealth},
      Row{Request::kGetCounters, &Handlers::GetCounters},
      Row{Request::kLookup, &Handlers::Lookup},
      Row{Request::kTakeMissingNeighbours, &Handlers::TakeMissingNeighbours},
  };
};

namespace {

using SteadyClock = std::chrono::steady_clock;

template <typename State>
std::vector<State*> StatesOf(const worker::Dataplane& dataplane) {
  std::vector<State*> states;
  for (const worker::Worker& worker : dataplane.workers) states.push_back(worker.state);
  return states;
}

uint64_t UnixNow() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

template <typename T>
T Require(const net::Result<T>& result, const std::string& path) {
  if (!result) throw RequestError(v1::Error::CODE_INVALID_ARGUMENT, path, result.error().message);
  return *result;
}

void FillWorker(const worker::Worker& worker, uint64_t generation, v1::WorkerCounters& out) {
  const core::WorkerCounters& counters = worker.state->counters;
  out.set_worker(worker.index);
  out.set_core(worker.core);
  // Verdicts before what they are verdicts of: a burst in between shows as packets on their way.
  for (const net::VerdictInfo& info : net::kVerdicts) {
    v1::VerdictCount& verdict = *out.add_verdicts();
    verdict.set_name(std::string(info.name));
    verdict.set_drop(info.is_drop);
    verdict.set_help(std::string(info.help));
    verdict.set_packets(counters.verdicts[static_cast<size_t>(info.verdict)].value());
  }
  out.set_reassembled_packets(counters.reassembled_packets.value());
  out.set_received_packets(counters.received_packets.value());
  out.set_reassembly_timeouts(counters.reassembly_timeouts.value());
  out.set_fragments_sent(counters.fragments_sent.value());
  out.set_kernel_received_packets(counters.kernel_received_packets.value());
  out.set_kernel_dropped_packets(counters.kernel_dropped_packets.value());
  out.set_icmp_errors_sent(counters.icmp_errors_sent.value());
  out.set_icmp_errors_suppressed(counters.icmp_errors_suppressed.value());
  const uint64_t expired = counters.sessions_expired.value();
  out.set_sessions_expired(expired);
  out.set_sessions_created(counters.sessions_created.value());
  out.set_sessions_active(out.sessions_created() - expired);
  const uint64_t templates_ended = counters.templates_ended.value();
  out.set_templates_active(counters.templates_created.value() - templates_ended);
  out.set_session_capacity(worker.sessions->capacity().total());
  out.set_stateless_packets(counters.stateless_packets.value());
  out.set_handoff_sent_packets(counters.handoff_sent.value());
  out.set_handoff_received_packets(counters.handoff_received.value());
  out.set_handoff_fragments(counters.handoff_fragments.value());
  out.set_foreign_packets(counters.foreign_packets.value());
  out.set_polls(counters.polls.value());
  out.set_busy_polls(counters.busy_polls.value());
  out.set_snapshot_generation(generation);
}

void FillPort(const worker::Port& port, v1::PortCounters& out) {
  const worker::PortStats stats = port.ReadStats();
  out.set_port_id(port.info().id);
  out.set_name(port.info().name);
  out.set_received_packets(stats.received_packets);
  out.set_received_bytes(stats.received_bytes);
  out.set_sent_packets(stats.sent_packets);
  out.set_sent_bytes(stats.sent_bytes);
  out.set_receive_missed_packets(stats.receive_missed_packets);
  out.set_receive_errors(stats.receive_errors);
  out.set_send_errors(stats.send_errors);
  out.set_kernel_refused_packets(stats.kernel_refused_packets);
}

}  // namespace

Handlers::Handlers(worker::Dataplane& dataplane, const Inheritance& inheritance)
    : dataplane_(dataplane),
      configuration_(dataplane.snapshots->current(), StatesOf<const core::WorkerState>(dataplane),
                     inheritance),
      sharing_(StatesOf<core::WorkerState>(dataplane)),
      instance_(std::random_device{}() | uint64_t{std::random_device{}()} << 32),
      started_unix_ns_(UnixNow()),
      adopted_sessions_(inheritance.adopted_sessions),
      dropped_sessions_(inheritance.dropped_sessions),
      restart_gap_ns_(inheritance.unpolled_ns) {}

bool Handlers::StopAwaitingServices() {
  if (!configuration_.awaits_services()) return false;
  dataplane_.snapshots->Publish(configuration_.StopAwaitingServices());
  return true;
}

Handlers::Answer Handlers::Handle(const Request& request) {
  const auto response = std::make_shared<Response>();
  response->set_id(request.id());
  try {
    if (request.body_case() == Request::kListSessions) return ListSessions(request);
    const auto row =
        std::ranges::find(HandlerTable::kRows, request.body_case(), &HandlerTable::Row::body);
    if (row == HandlerTable::kRows.end())
      throw RequestError(v1::Error::CODE_INVALID_ARGUMENT, "body", "unknown request");
    (this->*row->handle)(request, *response);
  } catch (const RequestError& error) {
    response->clear_body();
    *response->mutable_error() = error.ToMessage();
  }
  return [response] { return std::move(*response); };
}

// --- status and counters -----------------------------------------------------------------------

void Handlers::GetStatus(const Request&, Response& response) {
  v1::GetStatusResponse& status = *response.mutable_get_status();
  status.set_version(STEELYARD_VERSION);
  status.set_instance(instance_);
  status.set_generation(configuration_.generation());
  status.set_services_fingerprint(configuration_.services_fingerprint());
  status.set_health_fingerprint(configuration_.health_fingerprint());
  status.set_network_fingerprint(configuration_.network_fingerprint());
  status.set_started_unix_ns(started_unix_ns_);
  status.set_workers(static_cast<uint32_t>(dataplane_.workers.size()));
  uint64_t capacity = 0;
  for (const worker::Worker& worker : dataplane_.workers)
    capacity += worker.sessions->capacity().total();
  status.set_session_capacity(capacity);
  status.set_adopted_sessions(adopted_sessions_);
  status.set_dropped_sessions(dropped_sessions_);
  status.set_restart_gap_ns(restart_gap_ns_);
  for (const worker::Port* port : dataplane_.ports) {
    v1::Port& out = *status.add_ports();
    const worker::PortInfo& info = port->info();
    out.set_id(info.id);
    out.set_name(info.name);
    out.set_driver(info.driver);
    out.set_kernel_interface(info.kernel_interface);
    out.set_mac(net::ToString(info.mac));
    out.set_mtu(info.mtu);
    out.set_steers_in_hardware(info.steers_in_hardware);
    out.set_steering_reason(info.steering_reason);
    out.set_link_up(port->IsLinkUp());
  }
}

namespace {

void FillLocalPorts(const Configuration::ServiceTotals& totals, v1::LocalPortCounters& out) {
  out.set_searches(totals.local_port_searches);
  out.set_probes(totals.local_port_probes);
  out.set_long_searches(totals.local_port_long_searches);
  out.set_exhausted_packets(totals.local_ports_exhausted_packets);
}

}  // namespace

void Handlers::FillOutboundGateway(const std::string& name, const core::Service& gateway,
                                   v1::OutboundGatewayCounters& out) const {
  out.set_name(name);
  const Configuration::BackendTotals totals =
      configuration_.TotalsOf(gateway.backends.front().slot);
  out.mutable_to_outside()->set_packets(totals.packets_to_backend);
  out.mutable_to_outside()->set_bytes(totals.bytes_to_backend);
  out.mutable_to_inside()->set_packets(totals.packets_to_client);
  out.mutable_to_inside()->set_bytes(totals.bytes_to_client);
  out.set_sessions_active(totals.sessions_created - totals.sessions_ended);
  out.set_sessions_created(totals.sessions_created);
  const Configuration::ServiceTotals of_service = configuration_.ServiceTotalsOf(gateway.slot);
  out.set_session_limit_packets(of_service.session_limit_packets);
  FillLocalPorts(of_service, *out.mutable_local_ports());
}

void Handlers::FillService(const std::string& name, const core::Service& service,
                           v1::ServiceCounters& out) const {
  out.set_name(name);
  const Configuration::ServiceTotals of_service = configuration_.ServiceTotalsOf(service.slot);
  out.set_session_limit_packets(of_service.session_limit_packets);
  out.set_sessions_not_remembered(of_service.sessions_not_remembered);
  FillLocalPorts(of_service, *out.mutable_local_ports());
  for (const core::Backend& backend : service.backends) {
    const Configuration::BackendTotals totals = configuration_.TotalsOf(backend.slot);
    v1::BackendCounters& counters = *out.add_backends();
    counters.set_address(net::ToString(backend.endpoint.address));
    counters.set_port(backend.endpoint.port.value());
    counters.mutable_to_backend()->set_packets(totals.packets_to_backend);
    counters.mutable_to_backend()->set_bytes(totals.bytes_to_backend);
    counters.mutable_to_client()->set_packets(totals.packets_to_client);
    counters.mutable_to_client()->set_bytes(totals.bytes_to_client);
    counters.set_sessions_active(totals.sessions_created - totals.sessions_ended);
    counters.set_sessions_created(totals.sessions_created);
    counters.set_available(backend.available);
  }
}

void Handlers::GetCounters(const Request& request, Response& response) {
  v1::GetCountersResponse& counters = *response.mutable_get_counters();
  for (const worker::Worker& worker : dataplane_.workers)
    FillWorker(worker, configuration_.generation(), *counters.add_workers());
  for (const worker::Port* port : dataplane_.ports) FillPort(*port, *counters.add_ports());
  if (request.get_counters().without_services()) return;
  for (const auto& [name, entry] : configuration_.services())
    FillService(name, *entry.compiled, *counters.add_services());
  for (const auto& gateway : configuration_.gateways())
    FillOutboundGateway(gateway.name, *gateway.compiled.service, *counters.add_outbound_gateways());
}

void Handlers::TakeMissingNeighbours(const Request&, Response& response) {
  v1::TakeMissingNeighboursResponse& out = *response.mutable_take_missing_neighbours();
  std::set<std::pair<core::PortId, net::IpAddress>> missing;
  for (worker::Worker& worker : dataplane_.workers)
    worker.state->missing_neighbours.TakeAll([&](const core::Neighbour& neighbour) {
      missing.emplace(neighbour.port, neighbour.address);
    });
  for (const auto& [port, address] : missing) {
    v1::Neighbour& neighbour = *out.add_missing();
    neighbour.set_port_id(port);
    neighbour.set_address(net::ToString(address));
  }
}

// --- applying ----------------------------------------------------------------------------------

template <typename ApplyRequest>
void Handlers::ApplyAndPublish(const ApplyRequest& request, Response& response) {
  const auto start = SteadyClock::now();
  auto snapshot = configuration_.Apply(request);
  sharing_.Follow(*snapshot);
  const auto compiled = SteadyClock::now();
  const auto report = dataplane_.snapshots->Publish(std::move(snapshot));
  v1::ApplyResponse& apply = *response.mutable_apply();
  apply.set_generation(configuration_.generation());
  apply.set_compile_ns(static_cast<uint64_t>((compiled - start).count()));
  apply.set_publish_ns(report.wait_ns);
}

void Handlers::ApplyServices(const Request& request, Response& response) {
  ApplyAndPublish(request.apply_services(), response);
}

void Handlers::ApplyNetwork(const Request& request, Response& response) {
  ApplyAndPublish(request.apply_network(), response);
}

void Handlers::ApplyHealth(const Request& request, Response& response) {
  ApplyAndPublish(request.apply_health(), response);
}

// --- sessions ----------------------------------------------------------------------------------

SessionSelection Handlers::SelectionOf(const v1::SessionFilter& filter) const {
  SessionSelection selection;
  if (!filter.service().empty()) {
    selection.service_slot = configuration_.FindSlot(filter.service());
    if (!selection.service_slot)
      throw RequestError(v1::Error::CODE_NOT_FOUND, "filter.service",
                         "no service or outbound gateway '" + filter.service() + "'");
  }
  if (!filter.client_prefix().empty())
    selection.client = Require(net::ParsePrefix(filter.client_prefix()), "filter.client_prefix");
  if (!filter.backend_address().empty())
    selection.backend =
        Require(net::ParseIpAddress(filter.backend_address()), "filter.backend_address");
  if (filter.protocol() != v1::PROTOCOL_UNSPECIFIED)
    selection.protocol =
        Require(proto::ToL4Protocol(filter.protocol(), net::Family::kIpv4), "filter.protocol");
  return selection;
}

void Handlers::Fill(const SessionView& view, uint32_t worker, v1::Session& out) const {
  const net::FlowKey& client_flow = view.forward.key;
  const net::FlowKey& backend_flow = view.forward.rewrite;
  out.set_protocol(proto::FromL4Protocol(client_flow.protocol));
  if (const core::Service* service = configuration_.current().service(view.service_slot))
    out.set_service(service->name);
  proto::FromEndpoint(client_flow.source, *out.mutable_client());
  proto::FromEndpoint(client_flow.destination, *out.mutable_virtual_());
  if (view.to_backend.flags & core::kFlowOneWay) {
    // Nothing is borrowed, and the port that a tunnel goes to is not the backend's.
    proto::FromEndpoint({backend_flow.destination.address, client_flow.destination.port},
                        *out.mutable_backend());
  } else {
    proto::FromEndpoint(backend_flow.source, *out.mutable_local());
    proto::FromEndpoint(backend_flow.destination, *out.mutable_backend());
  }
  out.set_state(std::string(core::ToString(view.to_backend.tcp_state)));
  out.set_idle_ms(view.idle_ms);
  out.set_age_ms(view.age_ms);
  out.set_expires_in_ms(view.expires_in_ms);
  out.mutable_to_backend()->set_packets(view.to_backend.packets);
  out.mutable_to_backend()->set_bytes(view.to_backend.bytes);
  out.mutable_to_client()->set_packets(view.to_client.packets);
  out.mutable_to_client()->set_bytes(view.to_client.bytes);
  out.set_worker(worker);
}

// A listing between two of its responses.
struct Handlers::Listing {
  uint64_t request_id;
  uint64_t left;  // of its limit
  SessionSelection selection;
  size_t worker = 0;  // whose sessions are next
  std::optional<ListSessionsTask> task;
};

Handlers::Answer Handlers::ListSessions(const Request& request) {
  const uint64_t limit = request.list_sessions().limit();
  const auto listing =
      std::make_shared<Listing>(Listing{.request_id = request.id(),
                                        .left = limit == 0 ? UINT64_MAX : limit,
                                        .selection = SelectionOf(request.list_sessions().filter()),
                                        .task = std::nullopt});
  return [this, listing] { return NextSessions(*listing); };
}

Response Handlers::NextSessions(Listing& listing) const {
  // Few enough that a change of the configuration need not wait long.
  constexpr size_t kSessionsPerResponse = 1024;
  Response response;
  response.set_id(listing.request_id);
  v1::ListSessionsResponse& out = *response.mutable_list_sessions();
  while (out.sessions().empty() && listing.left > 0 && listing.worker < dataplane_.workers.size()) {
    const worker::Worker& worker = dataplane_.workers[listing.worker];
    if (!listing.task)
      listing.task.emplace(listing.selection,
                           std::min<uint64_t>(kSessionsPerResponse, listing.left));
    listing.task->Prepare(dataplane_.snapshots->current());
    const bool has_run = worker.mailbox->Run(*listing.task);
    for (const SessionView& view : listing.task->found()) {
      if (listing.left == 0) break;
      --listing.left;
      Fill(view, worker.index, *out.add_sessions());
    }
    if (has_run && !listing.task->at_end()) continue;
    ++listing.worker;
    listing.task.reset();
  }
  response.set_more(listing.left > 0 && listing.worker < dataplane_.workers.size());
  return response;
}

namespace {

// Of ICMP echo the port is the identifier of whoever asks, and 0 of the other.
net::Endpoint EndpointOf(const v1::Endpoint& message, v1::Protocol protocol,
                         const std::string& path) {
  if (protocol != v1::PROTOCOL_ICMP) return Require(proto::ToEndpoint(message), path);
  if (message.port() > UINT16_MAX)
    throw RequestError(v1::Error::CODE_INVALID_ARGUMENT, path + ".port",
                       "an ICMP identifier is at most 65535");
  return {Require(net::ParseIpAddress(message.address()), path),
          net::Be16(static_cast<uint16_t>(message.port()))};
}

net::FlowKey KeyOf(const v1::LookupRequest& lookup) {
  const net::Endpoint source = EndpointOf(lookup.source(), lookup.protocol(), "source");
  const net::Endpoint destination =
      EndpointOf(lookup.destination(), lookup.protocol(), "destination");
  const net::Family family = source.address.family();
  if (family != destination.address.family())
    throw RequestError(v1::Error::CODE_INVALID_ARGUMENT, "destination",
                       "must be of the source's address family");
  return {source, destination, Require(proto::ToL4Protocol(lookup.protocol(), family), "protocol")};
}

}  // namespace

void Handlers::Lookup(const Request& request, Response& response) {
  const v1::LookupRequest& lookup = request.lookup();
  const net::FlowKey key = KeyOf(lookup);
  const core::Snapshot& snapshot = dataplane_.snapshots->current();
  const uint32_t hash = snapshot.steering->HashOf(key);
  const uint32_t owner = snapshot.steering->OwnerOf(hash % core::kSteeringBuckets);
  LookupTask task(snapshot, key);
  if (!dataplane_.workers[owner].mailbox->Run(task))
    throw RequestError(v1::Error::CODE_INTERNAL, "", "the worker has stopped");

  v1::LookupResponse& out = *response.mutable_lookup();
  out.set_worker(owner);
  out.set_hash(hash);
  if (task.preview.service) out.set_service(task.preview.service->name);
  out.set_verdict(std::string(net::InfoOf(task.preview.verdict).name));
  out.set_stateless(task.preview.is_stateless);
  if (task.session) {
    Fill(*task.session, owner, *out.mutable_session());
    *out.mutable_backend() = out.session().backend();
  } else if (task.preview.backend) {
    proto::FromEndpoint(task.preview.backend->endpoint, *out.mutable_backend());
  }
}

}  // namespace steelyard::control
