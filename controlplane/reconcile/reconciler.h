// SPDX-License-Identifier: Apache-2.0
//
// Makes the dataplane have what is wanted, and keeps it so. Wanted are three things: the network
// (routes, neighbours and addresses), the health overlay and the services. Owned by, called from
// and calling back on the io_context's one thread.
//
// Each is pushed as the difference to what the dataplane has, one push of a kind at a time; what
// changes meanwhile goes with the next one. On each connection, and every few seconds, the
// dataplane's generation and fingerprints are compared with what was pushed; whatever differs is
// pushed whole and counted. Services wait for network and health, so that no service comes into
// force before the next hops and the health of its backends.
//
// To push one more kind: a SyncedSet, its setter, a Compare… and a Pump… function, and their places
// in OnStatusResponse() and Pump().
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/dataplane_client/dataplane_client.h"
#include "controlplane/reconcile/synced_network.h"
#include "controlplane/reconcile/synced_services.h"
#include "controlplane/reconcile/synced_set.h"
#include "controlplane/reconcile/wanted_network.h"
#include "dataplane.pb.h"

namespace steelyard::controlplane {

class Reconciler {
 public:
  struct Options {
    std::chrono::milliseconds check_interval{3000};
    std::chrono::milliseconds retry_interval{1000};  // after a push that the dataplane refused
    // A dataplane that runs on while the control plane is restarted keeps its services and health
    // until the first health checks have finished (ReleaseHealth), but no longer than this.
    std::chrono::milliseconds longest_health_hold{5000};
  };

  // Takes the client's events. The client must outlive this.
  Reconciler(boost::asio::io_context& io, DataplaneClient& client, Options options);
  Reconciler(const Reconciler&) = delete;
  Reconciler& operator=(const Reconciler&) = delete;

  // After each status of the dataplane, before anything is pushed. Set before Start().
  std::function<void()> on_status;

  void Start();

  void SetNetwork(const WantedNetwork& network);
  // Resolved and valid. Nothing is pushed to, or taken from, the dataplane before the first call.
  void SetServices(uint64_t generation, std::shared_ptr<const ResolvedServices> services);
  // All entries of the overlay, for the services set last. Those that went away are taken from the
  // dataplane after its services are in force.
  void SetHealth(const std::vector<v1::BackendHealth>& health);
  void ChangeHealth(const v1::BackendHealth& health);
  // Every backend has been checked once.
  void ReleaseHealth();

  // Null while the dataplane is away.
  const v1::GetStatusResponse* status() const { return status_ ? &*status_ : nullptr; }
  uint64_t resyncs_total() const { return resyncs_total_; }
  bool HasServices(uint64_t generation) const {
    return status_ && services_.applied_generation() >= generation;
  }
  // True as soon as the dataplane has the generation or a later one, false after `limit`.
  void WhenPushed(uint64_t generation, std::chrono::milliseconds limit,
                  std::function<void(bool)> callback);

 private:
  struct Retry {
    explicit Retry(boost::asio::io_context& io) : timer(io) {}
    bool waiting = false;
    boost::asio::steady_timer timer;
  };
  struct Waiter {
    uint64_t generation;
    std::function<void(bool)> callback;  // empty once called
    boost::asio::steady_timer limit;
  };
  using OnPushed = std::function<void(const v1::ApplyResponse&)>;
  // Null: nobody knows. True: what is to be sent is another thing now, and may go at once.
  using OnLost = std::function<bool(const v1::Error* error)>;

  void OnConnected();
  void OnDisconnected(const std::string& reason);
  void CheckLater();
  void Check();
  void OnStatusResponse(v1::GetStatusResponse& status);
  void NoteInstance(const v1::GetStatusResponse& status);
  // Each true when the dataplane has lost or has something else than what was pushed; an empty one
  // that was never filled has not.
  bool CompareNetwork(const v1::GetStatusResponse& status);
  bool CompareHealth(const v1::GetStatusResponse& status);
  bool CompareServices(const v1::GetStatusResponse& status);

  void Pump();
  bool PumpNetwork();
  bool PumpHealth();
  bool PumpServices();
  void PruneHealth();
  void Push(v1::Request request, const char* kind, Retry& retry, OnPushed on_pushed,
            OnLost on_lost);
  bool OnServicesRefused(const v1::Error* error, bool was_delta);
  void RetryLater(Retry& retry);
  void EndHold();
  void CallWaiters();

  boost::asio::io_context& io_;
  DataplaneClient& client_;
  const Options options_;

  std::optional<v1::GetStatusResponse> status_;
  std::optional<uint64_t> instance_;  // of the last connection
  bool verified_ = false;             // compared on this connection: pushes may go
  bool checking_ = false;
  bool health_released_ = false;
  bool held_ = false;  // services and health wait for ReleaseHealth()
  uint64_t resyncs_total_ = 0;

  bool network_wanted_ = false;
  SyncedNetwork network_;
  SyncedSet<v1::BackendHealth> health_;
  std::set<std::string> health_keys_;
  std::set<std::string> surplus_health_;  // wanted no more, still in health_
  SyncedServices services_;

  Retry network_retry_;
  Retry health_retry_;
  Retry services_retry_;
  boost::asio::steady_timer check_timer_;
  boost::asio::steady_timer hold_timer_;
  std::vector<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace steelyard::controlplane
