// SPDX-License-Identifier: Apache-2.0
//
// What each request of proto/dataplane.proto does. One method a request; the server calls them on
// the main thread, one at a time. RequestError becomes the response's error, with nothing altered.
//
// To add a request: a message pair in the schema, a method here, and a row in the table of
// handlers.cc.
#pragma once

#include <functional>
#include <random>
#include <set>

#include "control/configuration.h"
#include "control/session_sharing.h"
#include "control/session_tasks.h"
#include "dataplane.pb.h"
#include "worker/dataplane.h"

namespace steelyard::control {

class Handlers {
 public:
  // Workers run already or will; `dataplane` outlives this.
  explicit Handlers(worker::Dataplane& dataplane, const Inheritance& inheritance = {});

  // Nobody has pushed services in time: adopted sessions go on without. False: they were pushed.
  bool StopAwaitingServices();

  // The answer to one request, response by response: to be called again when the client has taken
  // the last one and that said `more`. Other requests may be handled in between.
  using Answer = std::function<v1::Response()>;
  Answer Handle(const v1::Request& request);

  // To be called every SessionSharing::kInterval.
  void DealOutSessions() { sharing_.DealOut(); }

 private:
  friend struct HandlerTable;

  void GetStatus(const v1::Request& request, v1::Response& response);
  void ApplyServices(const v1::Request& request, v1::Response& response);
  void ApplyNetwork(const v1::Request& request, v1::Response& response);
  void ApplyHealth(const v1::Request& request, v1::Response& response);
  void GetCounters(const v1::Request& request, v1::Response& response);
  void Lookup(const v1::Request& request, v1::Response& response);
  void TakeMissingNeighbours(const v1::Request& request, v1::Response& response);

  struct Listing;
  Answer ListSessions(const v1::Request& request);
  v1::Response NextSessions(Listing& listing) const;

  template <typename ApplyRequest>
  void ApplyAndPublish(const ApplyRequest& request, v1::Response& response);
  SessionSelection SelectionOf(const v1::SessionFilter& filter) const;
  void Fill(const SessionView& view, uint32_t worker, v1::Session& out) const;
  void FillOutboundGateway(const std::string& name, const core::Service& gateway,
                           v1::OutboundGatewayCounters& out) const;
  void FillService(const std::string& name, const core::Service& service,
                   v1::ServiceCounters& out) const;

  worker::Dataplane& dataplane_;
  Configuration configuration_;
  SessionSharing sharing_;
  uint64_t instance_;
  uint64_t started_unix_ns_;
  uint64_t adopted_sessions_;
  uint64_t dropped_sessions_;
  uint64_t restart_gap_ns_;
};

}  // namespace steelyard::control
