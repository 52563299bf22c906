// SPDX-License-Identifier: Apache-2.0
//
// For tests only: the server side of the control socket, with a state that the test looks into. It
// keeps what is pushed as the real one does (replace, delta, conflict, fingerprints) and compiles
// nothing. Runs on the test's io_context.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane.pb.h"
#include "proto/frame.h"

namespace steelyard::controlplane {

class FakeDataplane {
 public:
  FakeDataplane(boost::asio::io_context& io, const std::string& socket_path);
  ~FakeDataplane();

  // Closes all connections; the socket stays.
  void DropConnections();

  uint64_t instance = 1;
  uint64_t generation = 0;
  std::map<std::string, v1::Service> services;
  std::vector<v1::OutboundGateway> outbound_gateways;
  std::map<std::string, v1::BackendHealth> health;  // by "service address port"
  std::map<std::string, v1::Route> routes;
  std::map<std::string, v1::Neighbour> neighbours;  // by "port address"
  std::map<std::string, v1::BoxAddress> addresses;  // by "port address", or the address alone
  std::vector<v1::Port> ports;
  std::vector<v1::Neighbour> missing;
  std::vector<v1::Session> sessions;
  std::vector<v1::Request> applies;  // in the order in which they came
  // Answers instead of the above when it returns true.
  std::function<bool(const v1::Request&, v1::Response&)> intercept;
  bool silent = false;     // reads and never answers
  std::string raw_answer;  // sent instead of a frame when not empty

 private:
  struct Peer;
  void Accept();
  void Read(const std::shared_ptr<Peer>& peer);
  void Answer(Peer& peer, const v1::Request& request);
  void Fill(const v1::Request& request, v1::Response& response);
  void FillStatus(v1::GetStatusResponse& status) const;
  void FillCounters(v1::GetCountersResponse& counters) const;
  void Apply(const v1::ApplyServicesRequest& request, v1::Response& response);
  void Apply(const v1::ApplyNetworkRequest& request);
  void Apply(const v1::ApplyHealthRequest& request);

  boost::asio::local::stream_protocol::acceptor acceptor_;
  std::vector<std::shared_ptr<Peer>> peers_;
  std::string path_;
};

}  // namespace steelyard::controlplane
