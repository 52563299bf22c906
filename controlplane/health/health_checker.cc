// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/health_checker.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "controlplane/health/check_registry.h"
#include "controlplane/health/rise_fall.h"

namespace steelyard::controlplane {
namespace {

using ErrorCode = boost::system::error_code;

// Checks begun before other work of the thread gets its turn.
constexpr int kStartsPerTurn = 64;

uint64_t UnixMilliseconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

size_t DefaultConcurrency() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return std::max<size_t>(limit.rlim_cur / 4 * 3, 1);
}

bool SameCheck(const std::optional<v1::HealthCheck>& a, const std::optional<v1::HealthCheck>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->SerializeAsString() == b->SerializeAsString();
}

std::string BackendKey(const std::string& address, uint32_t port) {
  return address + " " + std::to_string(port);
}

}  // namespace

struct HealthChecker::Target {
  CheckedService* service = nullptr;
  std::string address;
  uint32_t port = 0;
  RiseFall rise_fall{v1::HEALTH_UNSPECIFIED, 1, 1};
  uint64_t since_unix_ms = 0;
  std::string reason;
  uint64_t checks_total = 0;
  uint64_t check_failures_total = 0;

  bool active = false;  // is being checked: everything below has a meaning
  CheckPeriod period{};
  TimePoint start{};             // of the check under way, else of the next one
  std::shared_ptr<Check> check;  // under way

  v1::Health health() const { return rise_fall.health(); }
  void SetHealth(v1::Health health, std::string_view why);
  HealthStatus Status() const;
};

struct HealthChecker::CheckedService {
  std::string name;
  std::optional<v1::HealthCheck> check;
  bool sends_proxy_headers = false;
  std::vector<std::unique_ptr<Target>> targets;
};

void HealthChecker::Target::SetHealth(v1::Health health, std::string_view why) {
  if (health != rise_fall.health()) since_unix_ms = UnixMilliseconds();
  rise_fall = RiseFall(health, 1, 1);
  reason = why;
}

HealthStatus HealthChecker::Target::Status() const {
  return {service->name, address, port,         health(),
          since_unix_ms, reason,  checks_total, check_failures_total};
}

HealthChecker::HealthChecker(boost::asio::io_context& io_context, OnChange on_change,
                             HealthCheckerOptions options)
    : io_context_(io_context),
      on_change_(std::move(on_change)),
      max_concurrent_checks_(options.max_concurrent_checks != 0 ? options.max_concurrent_checks
                                                                : DefaultConcurrency()),
      timer_(io_context),
      alive_(std::make_shared<char>()) {}

HealthChecker::~HealthChecker() {
  Stop();
}

void HealthChecker::SetServices(const std::vector<v1::Service>& services) {
  std::set<std::string_view> named;
  for (const v1::Service& service : services) named.insert(service.name());
  std::vector<std::string> removed;
  for (const auto& [name, service] : services_) {
    if (!named.contains(name)) removed.push_back(name);
  }
  for (const std::string& name : removed) RemoveService(name);
  for (const v1::Service& service : services) SetService(service);
}

void HealthChecker::SetService(const v1::Service& service) {
  std::unique_ptr<CheckedService>& slot = services_[service.name()];
  if (slot == nullptr) slot = std::make_unique<CheckedService>();
  Apply(*slot, service);
  ArmTimer();
}

void HealthChecker::RemoveService(const std::string& name) {
  const auto found = services_.find(name);
  if (found == services_.end()) return;
  for (const auto& target : found->second->targets) Halt(*target);
  services_.erase(found);
  ArmTimer();
}

std::vector<HealthStatus> HealthChecker::GetAll() const {
  std::vector<HealthStatus> all;
  for (const auto& [name, service] : services_) {
    for (const auto& target : service->targets) all.push_back(target->Status());
  }
  return all;
}

std::vector<HealthStatus> HealthChecker::GetService(const std::string& name) const {
  std::vector<HealthStatus> statuses;
  const auto found = services_.find(name);
  if (found == services_.end()) return statuses;
  for (const auto& target : found->second->targets) statuses.push_back(target->Status());
  return statuses;
}

void HealthChecker::Stop() {
  for (const auto& [name, service] : services_) {
    for (const auto& target : service->targets) Halt(*target);
  }
  timer_.cancel();
  timer_start_ = TimePoint::max();
}

void HealthChecker::Apply(CheckedService& service, const v1::Service& desired) {
  service.name = desired.name();
  std::optional<v1::HealthCheck> check;
  if (desired.has_health_check()) check = desired.health_check();
  const bool sends_proxy_headers =
      desired.client_address().carrier() == v1::ClientAddress::CARRIER_PROXY_V2;
  const bool check_changed =
      !SameCheck(service.check, check) || service.sends_proxy_headers != sends_proxy_headers;
  service.check = std::move(check);
  service.sends_proxy_headers = sends_proxy_headers;

  std::unordered_map<std::string, std::unique_ptr<Target>> old_targets;
  for (auto& target : service.targets) {
    std::string key = BackendKey(target->address, target->port);
    old_targets.emplace(std::move(key), std::move(target));
  }
  service.targets.clear();
  for (const v1::Backend& backend : desired.backends()) {
    std::unique_ptr<Target> target =
        std::move(old_targets[BackendKey(backend.address(), backend.port())]);
    if (target == nullptr) {
      target = std::make_unique<Target>();
      target->service = &service;
      target->address = backend.address();
      target->port = backend.port();
    }
    if (check_changed) Halt(*target);
    Configure(*target, service.check && backend.admin_state() != v1::ADMIN_STATE_DISABLED);
    service.targets.push_back(std::move(target));
  }
  for (const auto& [key, target] : old_targets) {
    if (target != nullptr) Halt(*target);
  }
}

// Brings a target to the service's check as it is now: left alone when it is being checked by it.
void HealthChecker::Configure(Target& target, bool active) {
  if (!active) {
    Halt(target);
    if (target.service->check)
      target.SetHealth(v1::HEALTH_UNKNOWN, "disabled");
    else
      target.SetHealth(v1::HEALTH_UNCHECKED, "no health check");
    return;
  }
  if (target.active) return;
  const v1::Health standing = target.health();
  if (standing == v1::HEALTH_UNSPECIFIED || standing == v1::HEALTH_UNKNOWN)
    target.SetHealth(v1::HEALTH_UNKNOWN, "not checked yet");
  const v1::HealthCheck& check = *target.service->check;
  target.rise_fall = RiseFall(target.health(), check.rise(), check.fall());
  target.period = MakeCheckPeriod(
      target.service->name + " " + BackendKey(target.address, target.port), check.interval_ms());
  target.active = true;
  Schedule(target, FirstCheckStart(target.period, CheckClock::now(), first_check_pace_));
}

void HealthChecker::Halt(Target& target) {
  if (!target.active) return;
  target.active = false;
  due_.erase({target.start, &target});
  if (target.check == nullptr) return;
  target.check->Cancel();
  target.check = nullptr;
  --running_checks_;
}

void HealthChecker::Schedule(Target& target, TimePoint start) {
  target.start = start;
  due_.emplace(start, &target);
}

void HealthChecker::StartDueChecks() {
  const TimePoint now = CheckClock::now();
  for (int started = 0; started < kStartsPerTurn; ++started) {
    if (due_.empty() || due_.begin()->first > now) break;
    if (running_checks_ >= max_concurrent_checks_) break;
    Target& target = *due_.begin()->second;
    due_.erase(due_.begin());
    StartCheck(target);
  }
  ArmTimer();
}

void HealthChecker::StartCheck(Target& target) {
  const v1::HealthCheck& settings = *target.service->check;
  const CheckType* type = FindCheckType(settings.type());
  boost::system::error_code not_an_address;
  const auto address = boost::asio::ip::make_address(target.address, not_an_address);
  if (type == nullptr || not_an_address) {
    target.reason = "cannot check: invalid settings";
    return;
  }
  const uint32_t port = settings.port() != 0 ? settings.port() : target.port;
  // A port of the check's own is not the one that the service's traffic goes to.
  const bool expects_proxy_header = target.service->sends_proxy_headers && port == target.port;
  target.check = type->make(
      {io_context_, address, static_cast<uint16_t>(port), settings, expects_proxy_header});
  ++running_checks_;
  target.check->Start([this, &target](const CheckResult& result) { OnResult(target, result); });
}

void HealthChecker::OnResult(Target& target, const CheckResult& result) {
  target.check = nullptr;
  --running_checks_;
  const bool conclusive = result.outcome != CheckOutcome::kInconclusive;
  const bool passed = result.outcome == CheckOutcome::kPassed;
  const bool changed = conclusive && target.rise_fall.Record(passed);
  if (changed) target.since_unix_ms = UnixMilliseconds();
  target.checks_total += conclusive;
  target.check_failures_total += conclusive && !passed;
  if (!conclusive || (target.health() == v1::HEALTH_UP) == passed) target.reason = result.reason;
  Schedule(target, NextCheckStart(target.period, target.start, CheckClock::now()));
  ArmTimer();
  if (changed) on_change_(target.Status());
}

// A finished check arms it again when nothing more may run.
void HealthChecker::ArmTimer() {
  if (due_.empty() || running_checks_ >= max_concurrent_checks_) return;
  const TimePoint start = due_.begin()->first;
  if (timer_start_ <= start) return;
  timer_start_ = start;
  timer_.expires_at(start);
  timer_.async_wait([this, alive = std::weak_ptr<void>(alive_)](const ErrorCode& error) {
    if (error || alive.expired()) return;
    timer_start_ = TimePoint::max();
    StartDueChecks();
  });
}

}  // namespace steelyard::controlplane
