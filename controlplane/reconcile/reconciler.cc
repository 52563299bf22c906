// SPDX-License-Identifier: Apache-2.0
#include "controlplane/reconcile/reconciler.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "controlplane/log.h"

namespace steelyard::controlplane {
namespace {

std::string HealthKey(const v1::BackendHealth& health) {
  return health.service() + ' ' + health.address() + ' ' + std::to_string(health.port());
}

}  // namespace

Reconciler::Reconciler(boost::asio::io_context& io, DataplaneClient& client, Options options)
    : io_(io),
      client_(client),
      options_(options),
      network_retry_(io),
      health_retry_(io),
      services_retry_(io),
      check_timer_(io),
      hold_timer_(io) {}

void Reconciler::Start() {
  client_.on_connected = [this] { OnConnected(); };
  client_.on_disconnected = [this](const std::string& reason) { OnDisconnected(reason); };
  client_.on_unreachable = [](const std::string& reason) {
    Log("dataplane unreachable", {{"error", reason}});
  };
  client_.Start();
  CheckLater();
}

void Reconciler::OnConnected() {
  Log("dataplane connected");
  Check();
}

void Reconciler::OnDisconnected(const std::string& reason) {
  Log("dataplane disconnected", {{"reason", reason}});
  status_.reset();
  verified_ = false;
}

void Reconciler::CheckLater() {
  check_timer_.expires_after(options_.check_interval);
  check_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    Check();
    CheckLater();
  });
}

void Reconciler::Check() {
  if (checking_ || !client_.connected()) return;
  checking_ = true;
  v1::Request request;
  request.mutable_get_status();
  client_.Send(std::move(request), [this](v1::Response* response) {
    checking_ = false;
    if (response == nullptr) return;
    if (response->has_get_status()) return OnStatusResponse(*response->mutable_get_status());
    Log("dataplane refuses its status", {{"error", response->error().message()}});
  });
}

void Reconciler::OnStatusResponse(v1::GetStatusResponse& status) {
  NoteInstance(status);
  status_ = std::move(status);
  if (on_status) on_status();
  std::string differing;
  if (CompareNetwork(*status_)) differing += " network";
  if (!held_ && CompareHealth(*status_)) differing += " health";
  if (!held_ && CompareServices(*status_)) differing += " services";
  if (!differing.empty()) {
    ++resyncs_total_;
    Log("dataplane differs, pushing whole:" + differing,
        {{"dataplane_generation", std::to_string(status_->generation())},
         {"generation", std::to_string(services_.wanted_generation())}});
  }
  verified_ = network_wanted_;
  Pump();
}

void Reconciler::NoteInstance(const v1::GetStatusResponse& status) {
  if (instance_ == status.instance()) return;
  Log("dataplane instance", {{"version", status.version()},
                             {"instance", std::to_string(status.instance())},
                             {"generation", std::to_string(status.generation())}});
  // Only at the first one ever: later the health of all backends is known.
  if (!instance_ && status.generation() != 0 && !health_released_) {
    held_ = true;
    hold_timer_.expires_after(options_.longest_health_hold);
    hold_timer_.async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled) EndHold();
    });
  } else {
    held_ = false;
  }
  instance_ = status.instance();
}

void Reconciler::ReleaseHealth() {
  health_released_ = true;
  if (held_) EndHold();
}

void Reconciler::EndHold() {
  held_ = false;
  hold_timer_.cancel();
  Check();
}

bool Reconciler::CompareNetwork(const v1::GetStatusResponse& status) {
  if (!network_wanted_ || (network_.in_flight() && !network_.known())) return false;
  const uint64_t fingerprint = status.network_fingerprint();
  if (network_.known() && fingerprint == network_.applied_fingerprint()) return false;
  if (!network_.in_flight() && fingerprint == network_.wanted_fingerprint()) {
    network_.MarkInSync();
    return false;
  }
  const bool lost_or_other = network_.known() || fingerprint != 0;
  network_.Forget();
  return lost_or_other;
}

bool Reconciler::CompareHealth(const v1::GetStatusResponse& status) {
  if (!services_.wanted() || (health_.in_flight() && !health_.known())) return false;
  const uint64_t fingerprint = status.health_fingerprint();
  if (health_.known() && fingerprint == health_.applied_fingerprint()) return false;
  if (!health_.in_flight() && fingerprint == health_.wanted_fingerprint()) {
    health_.MarkInSync();
    return false;
  }
  const bool lost_or_other = health_.known() || fingerprint != 0;
  health_.Forget();
  return lost_or_other;
}

bool Reconciler::CompareServices(const v1::GetStatusResponse& status) {
  if (!services_.wanted()) return false;
  switch (services_.Compare(status.generation(), status.services_fingerprint())) {
    case SyncedServices::Match::kApplied:
      return false;
    case SyncedServices::Match::kWanted:
      if (!services_.in_flight()) services_.MarkInSync();
      CallWaiters();
      return false;
    case SyncedServices::Match::kNeither:
      break;
  }
  // A replacement that is on its way will do.
  if (services_.in_flight() && services_.applied_generation() == 0) return false;
  const bool lost_or_other = services_.applied_generation() != 0 || status.generation() != 0;
  services_.Forget();
  return lost_or_other;
}

void Reconciler::SetNetwork(const WantedNetwork& network) {
  network_.Want(network);
  if (!network_wanted_) {
    // What is there was not compared yet.
    network_wanted_ = true;
    return Check();
  }
  Pump();
}

void Reconciler::SetServices(uint64_t generation,
                             std::shared_ptr<const ResolvedServices> services) {
  const bool first = !services_.wanted();
  services_.Want(generation, std::move(services));
  if (first) return Check();
  // Posted: the health of new services is set right after.
  boost::asio::post(io_, [this] { Pump(); });
}

void Reconciler::SetHealth(const std::vector<v1::BackendHealth>& health) {
  surplus_health_ = std::exchange(health_keys_, {});
  for (const v1::BackendHealth& entry : health) {
    const std::string key = HealthKey(entry);
    health_.Put(key, entry);
    surplus_health_.erase(key);
    health_keys_.insert(key);
  }
  health_keys_.insert(surplus_health_.begin(), surplus_health_.end());
  Pump();
}

void Reconciler::ChangeHealth(const v1::BackendHealth& health) {
  const std::string key = HealthKey(health);
  health_.Put(key, health);
  health_keys_.insert(key);
  surplus_health_.erase(key);
  Pump();
}

void Reconciler::Pump() {
  if (!verified_) return;
  const bool network_done = PumpNetwork();
  if (held_ || !services_.wanted()) return;
  const bool health_done = network_done && PumpHealth();
  if (health_done && PumpServices()) PruneHealth();
}

// The three answer whether the next kind may go: nothing is under way, or waits for its next try.
bool Reconciler::PumpNetwork() {
  if (network_.in_flight()) return false;
  if (network_retry_.waiting) return true;
  auto apply = network_.Take();
  if (!apply) return true;
  v1::Request request;
  *request.mutable_apply_network() = std::move(*apply);
  Push(
      std::move(request), "network", network_retry_,
      [this](const v1::ApplyResponse&) { network_.Acknowledge(); },
      [this](const v1::Error*) {
        network_.Abandon();
        return false;
      });
  return false;
}

bool Reconciler::PumpHealth() {
  if (health_.in_flight()) return false;
  if (health_retry_.waiting) return true;
  const auto push = health_.Take();
  if (push.empty()) return true;
  v1::Request request;
  request.mutable_apply_health()->set_replace(push.replace);
  for (const v1::BackendHealth* health : push.put)
    *request.mutable_apply_health()->add_health() = *health;
  for (const v1::BackendHealth* health : push.removed) {
    v1::BackendHealth* removed = request.mutable_apply_health()->add_health();
    *removed = *health;
    removed->set_health(v1::HEALTH_UNSPECIFIED);
  }
  Push(
      std::move(request), "health", health_retry_,
      [this](const v1::ApplyResponse&) { health_.Acknowledge(); },
      [this](const v1::Error*) {
        health_.Abandon();
        return false;
      });
  return false;
}

bool Reconciler::PumpServices() {
  if (services_.settled()) return true;
  if (services_.in_flight() || services_retry_.waiting) return false;
  v1::Request request;
  *request.mutable_apply_services() = services_.Take();
  const bool was_delta = !request.apply_services().replace();
  Push(
      std::move(request), "services", services_retry_,
      [this](const v1::ApplyResponse& response) {
        services_.Acknowledge();
        if (status_) status_->set_generation(services_.applied_generation());
        Log("services pushed", {{"generation", std::to_string(services_.applied_generation())},
                                {"compile_ns", std::to_string(response.compile_ns())},
                                {"publish_ns", std::to_string(response.publish_ns())}});
        CallWaiters();
      },
      [this, was_delta](const v1::Error* error) { return OnServicesRefused(error, was_delta); });
  return false;
}

bool Reconciler::OnServicesRefused(const v1::Error* error, bool was_delta) {
  services_.Abandon();
  if (error == nullptr || error->code() != v1::Error::CODE_CONFLICT || !was_delta) return false;
  ++resyncs_total_;
  services_.Forget();
  return true;
}

void Reconciler::PruneHealth() {
  if (surplus_health_.empty()) return;
  for (const std::string& key : surplus_health_) {
    health_.Erase(key);
    health_keys_.erase(key);
  }
  surplus_health_.clear();
  PumpHealth();
}

void Reconciler::Push(v1::Request request, const char* kind, Retry& retry, OnPushed on_pushed,
                      OnLost on_lost) {
  client_.Send(std::move(request), [this, kind, &retry, on_pushed = std::move(on_pushed),
                                    on_lost = std::move(on_lost)](v1::Response* response) {
    if (response != nullptr && response->has_apply()) {
      on_pushed(response->apply());
      return Pump();
    }
    const v1::Error* error = response == nullptr ? nullptr : &response->error();
    const bool at_once = on_lost(error);
    if (!verified_) return;
    Log("dataplane refused a push", {{"kind", kind},
                                     {"path", error ? error->path() : ""},
                                     {"error", error ? error->message() : "cannot be sent"}});
    if (at_once) return Pump();
    RetryLater(retry);
  });
}

void Reconciler::RetryLater(Retry& retry) {
  retry.waiting = true;
  retry.timer.expires_after(options_.retry_interval);
  retry.timer.async_wait([this, &retry](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    retry.waiting = false;
    Pump();
  });
}

void Reconciler::WhenPushed(uint64_t generation, std::chrono::milliseconds limit,
                            std::function<void(bool)> callback) {
  if (HasServices(generation) || !status_) return callback(HasServices(generation));
  const auto waiter = std::make_shared<Waiter>(
      Waiter{generation, std::move(callback), boost::asio::steady_timer(io_, limit)});
  waiters_.push_back(waiter);
  waiter->limit.async_wait([this, waiter](const boost::system::error_code&) {
    const auto timed_out = std::exchange(waiter->callback, {});
    if (!timed_out) return;
    std::erase(waiters_, waiter);
    timed_out(false);
  });
}

void Reconciler::CallWaiters() {
  std::vector<std::shared_ptr<Waiter>> ready;
  for (const auto& waiter : waiters_)
    if (HasServices(waiter->generation)) ready.push_back(waiter);
  for (const auto& waiter : ready) {
    std::erase(waiters_, waiter);
    waiter->limit.cancel();
    if (const auto callback = std::exchange(waiter->callback, {})) callback(true);
  }
}

}  // namespace steelyard::controlplane
