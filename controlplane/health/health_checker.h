// SPDX-License-Identifier: Apache-2.0
//
// Checks the health of every backend of every service, and says when it changes. Health is runtime
// state laid over the desired state: it is never written into it and is lost with the process.
//
// Thread: the one that runs the io_context; every call and every callback. No thread of its own and
// one timer, however many backends there are: a queue ordered by time holds the next check of each.
//
// When a backend is checked: a new one soon (many new ones are spread, see check_schedule.h), then
// every interval at a phase of its own, so that the checks of many backends lie evenly in time. One
// check a backend at a time. Checks that are due while too many are under way (Options) wait.
//
// What a result means: see rise_fall.h. A check that this machine itself could not make (out of
// file descriptors, say) says nothing about the backend: the health stays, and the reason tells.
//
// A backend's health is
//   HEALTH_UNCHECKED  its service has no health check;
//   HEALTH_UNKNOWN    it is new or disabled. A disabled backend is not checked;
//   HEALTH_UP, _DOWN  as its checks say.
// When a service's check is changed or one is added, its backends keep their health until the first
// result of the new check decides: editing a check interrupts no service.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/health/check.h"
#include "controlplane/health/check_schedule.h"
#include "model.pb.h"

namespace steelyard::controlplane {

// The health of one backend, with the why and when.
struct HealthStatus {
  std::string service;  // name
  std::string address;  // the backend's, as in the desired state
  uint32_t port = 0;    // the backend's, not the check's
  v1::Health health = v1::HEALTH_UNSPECIFIED;
  uint64_t since_unix_ms = 0;  // of the last change of health
  std::string reason;          // "connected", "connection refused", "HTTP status 503", …
  uint64_t checks_total = 0;   // that said something about the backend
  uint64_t check_failures_total = 0;
};

struct HealthCheckerOptions {
  // 0: three quarters of the process's limit of open files (RLIMIT_NOFILE) at construction.
  size_t max_concurrent_checks = 0;
};

class HealthChecker {
 public:
  // Called when a result changed a backend's health, as soon as the result is there. It may call
  // the getters, not the setters. SetServices and its like do not call it: who changes the services
  // reads the health of what was changed afterwards.
  using OnChange = std::function<void(const HealthStatus&)>;

  HealthChecker(boost::asio::io_context& io_context, OnChange on_change,
                HealthCheckerOptions options = {});
  ~HealthChecker();  // stops

  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;

  // All services, resolved and valid (config's validation): those not named are forgotten. Backends
  // that stay keep their state.
  void SetServices(const std::vector<v1::Service>& services);

  // One service added or changed, or forgotten: costs that service, not all of them.
  void SetService(const v1::Service& service);
  void RemoveService(const std::string& name);

  // One entry per backend: services by name; within a service, the order of its backends.
  std::vector<HealthStatus> GetAll() const;
  std::vector<HealthStatus> GetService(const std::string& name) const;  // empty: not known

  // Ends all checks at once; no callback comes after it. The statuses stay readable.
  void Stop();

 private:
  using TimePoint = CheckClock::time_point;
  struct Target;          // one backend
  struct CheckedService;  // a service's check and its targets

  void Apply(CheckedService& service, const v1::Service& desired);
  void Configure(Target& target, bool active);
  void Halt(Target& target);
  void Schedule(Target& target, TimePoint start);
  void StartDueChecks();
  void StartCheck(Target& target);
  void OnResult(Target& target, const CheckResult& result);
  void ArmTimer();

  boost::asio::io_context& io_context_;
  const OnChange on_change_;
  const size_t max_concurrent_checks_;
  std::map<std::string, std::unique_ptr<CheckedService>> services_;
  std::set<std::pair<TimePoint, Target*>> due_;  // checks that wait for their time
  size_t running_checks_ = 0;
  TimePoint first_check_pace_{};
  boost::asio::steady_timer timer_;
  TimePoint timer_start_ = TimePoint::max();  // max: not armed
  std::shared_ptr<void> alive_;  // gone with this object: a timer's handler may still be queued
};

}  // namespace steelyard::controlplane
