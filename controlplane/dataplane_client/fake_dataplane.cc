// SPDX-License-Identifier: Apache-2.0
#include "controlplane/dataplane_client/fake_dataplane.h"

#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "proto/fingerprint.h"

namespace steelyard::controlplane {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using boost::system::error_code;

struct FakeDataplane::Peer {
  explicit Peer(stream_protocol::socket connected) : socket(std::move(connected)) {}
  stream_protocol::socket socket;
  proto::FrameReader reader;
  std::array<char, 64 * 1024> input;
};

FakeDataplane::FakeDataplane(asio::io_context& io, const std::string& socket_path)
    : acceptor_(io, stream_protocol::endpoint(socket_path)), path_(socket_path) {
  Accept();
}

FakeDataplane::~FakeDataplane() {
  DropConnections();
  error_code ignored;
  acceptor_.close(ignored);
  unlink(path_.c_str());
}

void FakeDataplane::DropConnections() {
  error_code ignored;
  for (const auto& peer : peers_) peer->socket.close(ignored);
  peers_.clear();
}

void FakeDataplane::Accept() {
  acceptor_.async_accept([this](const error_code& error, stream_protocol::socket socket) {
    if (error) return;
    peers_.push_back(std::make_shared<Peer>(std::move(socket)));
    Read(peers_.back());
    Accept();
  });
}

void FakeDataplane::Read(const std::shared_ptr<Peer>& peer) {
  peer->socket.async_read_some(
      asio::buffer(peer->input), [this, peer](const error_code& error, size_t length) {
        if (error) return;
        peer->reader.Append({peer->input.data(), length});
        v1::Request request;
        while (peer->reader.Take(request) == proto::FrameReader::Next::kFrame)
          Answer(*peer, request);
        Read(peer);
      });
}

void FakeDataplane::Answer(Peer& peer, const v1::Request& request) {
  if (silent) return;
  std::string bytes = raw_answer;
  if (bytes.empty()) {
    if (request.has_list_sessions()) {
      for (const v1::Session& session : sessions) {
        v1::Response part;
        part.set_id(request.id());
        part.set_more(true);
        *part.mutable_list_sessions()->add_sessions() = session;
        if (!proto::AppendFrame(part, bytes)) return;
      }
    }
    v1::Response response;
    response.set_id(request.id());
    if (!intercept || !intercept(request, response)) Fill(request, response);
    if (!proto::AppendFrame(response, bytes)) return;
  }
  error_code ignored;
  asio::write(peer.socket, asio::buffer(bytes), ignored);
}

void FakeDataplane::Fill(const v1::Request& request, v1::Response& response) {
  if (request.has_apply_services() || request.has_apply_network() || request.has_apply_health())
    applies.push_back(request);
  switch (request.body_case()) {
    case v1::Request::kGetStatus:
      return FillStatus(*response.mutable_get_status());
    case v1::Request::kApplyServices:
      return Apply(request.apply_services(), response);
    case v1::Request::kApplyNetwork:
      Apply(request.apply_network());
      response.mutable_apply()->set_generation(generation);
      return;
    case v1::Request::kApplyHealth:
      Apply(request.apply_health());
      response.mutable_apply()->set_generation(generation);
      return;
    case v1::Request::kGetCounters:
      return FillCounters(*response.mutable_get_counters());
    case v1::Request::kListSessions:
      response.mutable_list_sessions();
      return;
    case v1::Request::kLookup:
      response.mutable_lookup()->set_verdict("forwarded");
      return;
    case v1::Request::kTakeMissingNeighbours:
      response.mutable_take_missing_neighbours();
      for (const v1::Neighbour& neighbour : missing)
        *response.mutable_take_missing_neighbours()->add_missing() = neighbour;
      missing.clear();
      return;
    case v1::Request::BODY_NOT_SET:
      break;
  }
  response.mutable_error()->set_code(v1::Error::CODE_INVALID_ARGUMENT);
}

template <typename Map>
uint64_t Sum(const Map& map) {
  uint64_t sum = 0;
  for (const auto& [key, message] : map) sum += proto::Fingerprint(message);
  return sum;
}

void FakeDataplane::FillStatus(v1::GetStatusResponse& status) const {
  status.set_version("fake");
  status.set_instance(instance);
  status.set_generation(generation);
  uint64_t services_fingerprint = Sum(services);
  for (size_t i = 0; i < outbound_gateways.size(); ++i)
    services_fingerprint += proto::FingerprintAt(outbound_gateways[i], i);
  status.set_services_fingerprint(services_fingerprint);
  status.set_health_fingerprint(Sum(health));
  status.set_network_fingerprint(Sum(routes) + Sum(neighbours) + Sum(addresses));
  for (const v1::Port& port : ports) *status.add_ports() = port;
  status.set_workers(1);
}

void FakeDataplane::FillCounters(v1::GetCountersResponse& counters) const {
  for (const auto& [name, service] : services) {
    v1::ServiceCounters* out = counters.add_services();
    out->set_name(name);
    for (const v1::Backend& backend : service.backends()) {
      v1::BackendCounters* backend_out = out->add_backends();
      backend_out->set_address(backend.address());
      backend_out->set_port(backend.port());
    }
  }
  for (const v1::OutboundGateway& gateway : outbound_gateways)
    counters.add_outbound_gateways()->set_name(gateway.name());
}

void FakeDataplane::Apply(const v1::ApplyServicesRequest& request, v1::Response& response) {
  if (!request.replace() && request.base_generation() != generation) {
    response.mutable_error()->set_code(v1::Error::CODE_CONFLICT);
    return;
  }
  if (request.replace()) services.clear();
  for (const std::string& name : request.removed()) services.erase(name);
  for (const v1::Service& service : request.services()) services[service.name()] = service;
  outbound_gateways = {request.outbound_gateways().begin(), request.outbound_gateways().end()};
  generation = request.generation();
  response.mutable_apply()->set_generation(generation);
}

void FakeDataplane::Apply(const v1::ApplyNetworkRequest& request) {
  const auto key = [](const v1::Neighbour& neighbour) {
    return std::to_string(neighbour.port_id()) + " " + neighbour.address();
  };
  const auto address_key = [](const v1::BoxAddress& own) {
    return (own.has_port_id() ? std::to_string(own.port_id()) + " " : "") + own.address();
  };
  if (request.replace()) {
    routes.clear();
    neighbours.clear();
    addresses.clear();
  }
  for (const std::string& prefix : request.removed_routes()) routes.erase(prefix);
  for (const v1::Route& route : request.routes()) routes[route.prefix()] = route;
  for (const v1::Neighbour& removed : request.removed_neighbours()) neighbours.erase(key(removed));
  for (const v1::Neighbour& neighbour : request.neighbours())
    neighbours[key(neighbour)] = neighbour;
  for (const v1::BoxAddress& removed : request.removed_addresses())
    addresses.erase(address_key(removed));
  for (const v1::BoxAddress& own : request.addresses()) addresses[address_key(own)] = own;
}

void FakeDataplane::Apply(const v1::ApplyHealthRequest& request) {
  if (request.replace()) health.clear();
  for (const v1::BackendHealth& entry : request.health()) {
    const std::string key =
        entry.service() + " " + entry.address() + " " + std::to_string(entry.port());
    if (entry.health() == v1::HEALTH_UNSPECIFIED)
      health.erase(key);
    else
      health[key] = entry;
  }
}

}  // namespace steelyard::controlplane
