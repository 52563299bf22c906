// SPDX-License-Identifier: Apache-2.0
//
// Configuration: what the control plane has pushed (services, health overlay, network) and the
// compiler from it to snapshots. Each Apply checks its whole request before it alters anything and
// throws RequestError otherwise; then it returns the next snapshot, which shares every part that
// did not change with the last. Main thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/inheritance.h"
#include "control/service_compiler.h"
#include "control/slot_table.h"
#include "core/snapshot.h"
#include "core/worker_state.h"
#include "dataplane.pb.h"

namespace steelyard::control {

class Configuration {
 public:
  // `first` is what the workers have now, without services or network. `workers` are asked which
  // slots their sessions refer to; they outlive this.
  Configuration(core::Snapshot first, std::vector<const core::WorkerState*> workers,
                const Inheritance& inheritance = {});
  // Whether services are awaited still; until the first Apply of any, or nobody will push them.
  bool awaits_services() const { return current_.awaits_configuration; }
  std::unique_ptr<const core::Snapshot> StopAwaitingServices();

  std::unique_ptr<const core::Snapshot> Apply(const v1::ApplyServicesRequest& request);
  std::unique_ptr<const core::Snapshot> Apply(const v1::ApplyNetworkRequest& request);
  std::unique_ptr<const core::Snapshot> Apply(const v1::ApplyHealthRequest& request);
  // The snapshot of what is in force now.
  std::unique_ptr<const core::Snapshot> Current() const;

  uint64_t generation() const { return current_.generation; }
  uint64_t services_fingerprint() const;  // with the outbound gateways'
  uint64_t health_fingerprint() const { return health_fingerprint_; }
  uint64_t network_fingerprint() const { return network_fingerprint_; }

  // Services in force, by name.
  struct ServiceEntry {
    v1::Service message;
    uint64_t fingerprint = 0;
    std::shared_ptr<const core::Service> compiled;
  };
  const std::map<std::string, ServiceEntry>& services() const { return services_; }
  // Outbound gateways in force, in their order.
  struct GatewayEntry {
    std::string name;
    uint64_t fingerprint = 0;  // at its position
    uint64_t content = 0;      // anywhere
    core::OutboundGateway compiled;
  };
  const std::vector<GatewayEntry>& gateways() const { return gateways_; }
  // Of the service or outbound gateway of that name.
  std::optional<core::ServiceSlot> FindSlot(const std::string& name) const;
  const core::Snapshot& current() const { return current_; }

  // What the workers count for a backend, less what an earlier holder of its slot left behind.
  struct BackendTotals {
    uint64_t packets_to_backend = 0, bytes_to_backend = 0;
    uint64_t packets_to_client = 0, bytes_to_client = 0;
    uint64_t sessions_created = 0, sessions_ended = 0;
  };
  BackendTotals TotalsOf(core::BackendSlot slot) const;
  // Of a service, the same way.
  struct ServiceTotals {
    uint64_t session_limit_packets = 0, sessions_not_remembered = 0;
    uint64_t local_port_searches = 0, local_port_probes = 0, local_port_long_searches = 0;
    uint64_t local_ports_exhausted_packets = 0;
  };
  ServiceTotals ServiceTotalsOf(core::ServiceSlot slot) const;

 private:
  using Staged = std::map<std::string, ServiceEntry>;

  // Names that a request under way has acquired slots for, given back if it is refused.
  struct AcquiredSlots {
    std::vector<std::string> services, backends;
  };
  struct Checked {
    Staged services;
    std::vector<GatewayEntry> gateways;
  };
  CompileContext ContextFor(const std::string& path, AcquiredSlots& acquired);
  ServiceEntry Compile(const v1::Service& message, const std::string& path,
                       AcquiredSlots& acquired);
  Staged Stage(const v1::ApplyServicesRequest& request, AcquiredSlots& acquired);
  std::vector<GatewayEntry> StageGateways(const v1::ApplyServicesRequest& request,
                                          AcquiredSlots& acquired);
  Checked Check(const v1::ApplyServicesRequest& request);
  void RequireDistinctAddresses(const v1::ApplyServicesRequest& request,
                                const Staged& staged) const;
  void Install(ServiceEntry entry);
  void Uninstall(const std::string& name);
  void InstallGateways(std::vector<GatewayEntry> gateways);
  // What the snapshot says over all services. It takes longer the more there are, and most changes
  // (a weight, a health) make no difference to it.
  void RebuildIndex();
  void RebuildHomeRules();
  bool HasSessions(core::BackendSlot slot) const;
  BackendTotals SumOf(core::BackendSlot slot) const;
  ServiceTotals SumOfService(core::ServiceSlot slot) const;

  std::vector<const core::WorkerState*> workers_;
  SlotTable service_slots_;
  SlotTable backend_slots_;
  std::map<core::BackendSlot, BackendTotals> baselines_;  // of reused slots
  std::map<core::ServiceSlot, ServiceTotals> service_baselines_;

  std::map<std::string, ServiceEntry> services_;
  uint64_t services_fingerprint_ = 0;
  std::vector<GatewayEntry> gateways_;
  struct HealthEntry {
    v1::Health health;
    uint64_t fingerprint;
  };
  std::map<std::string, HealthEntry> health_;  // by BackendName
  uint64_t health_fingerprint_ = 0;
  core::NetworkDescription network_;
  std::map<std::string, uint64_t> network_parts_;  // fingerprints of what network_ holds
  uint64_t network_fingerprint_ = 0;

  core::HomeRules home_rules_;
  bool index_is_stale_ = false;
  core::Snapshot current_;
};

}  // namespace steelyard::control
