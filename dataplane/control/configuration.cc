// SPDX-License-Identifier: Apache-2.0
#include "control/configuration.h"

#include <algorithm>
#include <set>

#include "control/request_error.h"
#include "core/forward/forwarding_mode.h"
#include "net/wire.h"
#include "proto/convert.h"
#include "proto/fingerprint.h"

namespace steelyard::control {
namespace {

std::string Indexed(const char* field, int index) {
  return std::string(field) + "[" + std::to_string(index) + "]";
}

[[noreturn]] void Refuse(const std::string& path, const std::string& message) {
  throw RequestError(v1::Error::CODE_INVALID_ARGUMENT, path, message);
}

template <typename T>
T Require(const net::Result<T>& result, const std::string& path) {
  if (!result) Refuse(path, result.error().message);
  return *result;
}

// A slot from `slots`, or the request is refused.
uint32_t RequireSlot(SlotTable& slots, const std::string& name, const std::string& path,
                     const char* what, uint32_t capacity) {
  const auto slot = slots.Acquire(name);
  if (!slot)
    throw RequestError(v1::Error::CODE_RESOURCE_EXHAUSTED, path,
                       std::string("more than ") + std::to_string(capacity) + " " + what +
                           " configured or still holding sessions");
  return *slot;
}

bool AnyStoppedKeeping(const core::Service& before, const core::Service& after) {
  for (const core::Backend& old_backend : before.backends) {
    if (!old_backend.keeps_sessions) continue;
    const auto at = std::find_if(
        after.backends.begin(), after.backends.end(),
        [&](const core::Backend& backend) { return backend.slot == old_backend.slot; });
    if (at == after.backends.end() || !at->keeps_sessions) return true;
  }
  return false;
}

// Whether RebuildIndex makes the same of both.
bool SameInIndex(const core::Service& a, const core::Service& b) {
  return a.slot == b.slot && a.address == b.address && a.protocol == b.protocol &&
         a.mode == b.mode && a.local_addresses == b.local_addresses &&
         a.persistence == b.persistence &&
         a.endpoint_independent_udp == b.endpoint_independent_udp &&
         std::equal(a.backends.begin(), a.backends.end(), b.backends.begin(), b.backends.end(),
                    [](const core::Backend& one, const core::Backend& other) {
                      return one.slot == other.slot && one.endpoint == other.endpoint;
                    });
}

}  // namespace

Configuration::Configuration(core::Snapshot first, std::vector<const core::WorkerState*> workers,
                             const Inheritance& inheritance)
    : workers_(std::move(workers)),
      service_slots_(core::kMaxServices,
                     [this](uint32_t slot) {
                       return std::any_of(workers_.begin(), workers_.end(),
                                          [&](const core::WorkerState* worker) {
                                            return worker->services[slot].sessions_active() != 0;
                                          });
                     }),
      backend_slots_(core::kMaxBackends, [this](uint32_t slot) { return HasSessions(slot); }),
      current_(std::move(first)) {
  service_slots_.record = inheritance.record_service;
  backend_slots_.record = inheritance.record_backend;
  service_slots_.Inherit(inheritance.services);
  backend_slots_.Inherit(inheritance.backends);
  backend_slots_.on_reuse = [this](uint32_t slot) { baselines_[slot] = SumOf(slot); };
  service_slots_.on_reuse = [this](uint32_t slot) {
    service_baselines_[slot] = SumOfService(slot);
    if (slot < home_rules_.services.size()) home_rules_.services[slot] = {};
  };
}

std::unique_ptr<const core::Snapshot> Configuration::StopAwaitingServices() {
  current_.awaits_configuration = false;
  return Current();
}

std::unique_ptr<const core::Snapshot> Configuration::Current() const {
  return std::make_unique<core::Snapshot>(current_);
}

// --- services ----------------------------------------------------------------------------------

CompileContext Configuration::ContextFor(const std::string& path, AcquiredSlots& acquired) {
  return {
      .service_slot =
          [this, path, &acquired](const std::string& name) {
            if (!service_slots_.IsInUse(name)) acquired.services.push_back(name);
            return RequireSlot(service_slots_, name, path, "services", core::kMaxServices);
          },
      .backend_slot =
          [this, path, &acquired](const std::string& name) {
            if (!backend_slots_.IsInUse(name)) acquired.backends.push_back(name);
            return RequireSlot(backend_slots_, name, path, "backends", core::kMaxBackends);
          },
      .health =
          [this](const std::string& name) {
            const auto at = health_.find(name);
            return at == health_.end() ? v1::HEALTH_UNCHECKED : at->second.health;
          },
      .workers = static_cast<uint32_t>(workers_.size()),
  };
}

Configuration::ServiceEntry Configuration::Compile(const v1::Service& message,
                                                   const std::string& path,
                                                   AcquiredSlots& acquired) {
  return {message, proto::Fingerprint(message),
          CompileService(message, path, ContextFor(path, acquired))};
}

Configuration::Staged Configuration::Stage(const v1::ApplyServicesRequest& request,
                                           AcquiredSlots& acquired) {
  Staged staged;
  for (int i = 0; i < request.services_size(); ++i) {
    const v1::Service& message = request.services(i);
    const auto in_force = services_.find(message.name());
    const bool unchanged =
        in_force != services_.end() && in_force->second.fingerprint == proto::Fingerprint(message);
    const std::string path = Indexed("services", i);
    if (!staged
             .emplace(message.name(),
                      unchanged ? in_force->second : Compile(message, path, acquired))
             .second)
      Refuse(path + ".name", "'" + message.name() + "' stands twice in the request");
  }
  return staged;
}

std::vector<Configuration::GatewayEntry> Configuration::StageGateways(
    const v1::ApplyServicesRequest& request, AcquiredSlots& acquired) {
  std::vector<GatewayEntry> staged;
  std::set<std::string> names;
  for (int i = 0; i < request.outbound_gateways_size(); ++i) {
    const v1::OutboundGateway& message = request.outbound_gateways(i);
    const std::string path = Indexed("outbound_gateways", i);
    if (!names.insert(message.name()).second)
      Refuse(path + ".name", "'" + message.name() + "' stands twice in the request");
    const uint64_t content = proto::Fingerprint(message);
    const auto unchanged =
        std::find_if(gateways_.begin(), gateways_.end(), [&](const GatewayEntry& entry) {
          return entry.name == message.name() && entry.content == content;
        });
    staged.push_back({message.name(), proto::FingerprintAt(message, static_cast<uint64_t>(i)),
                      content,
                      unchanged != gateways_.end()
                          ? unchanged->compiled
                          : CompileOutboundGateway(message, path, ContextFor(path, acquired))});
  }
  return staged;
}

std::optional<core::ServiceSlot> Configuration::FindSlot(const std::string& name) const {
  if (const auto at = services_.find(name); at != services_.end()) return at->second.compiled->slot;
  for (const GatewayEntry& gateway : gateways_)
    if (gateway.name == name) return gateway.compiled.service->slot;
  return std::nullopt;
}

uint64_t Configuration::services_fingerprint() const {
  uint64_t sum = services_fingerprint_;
  for (const GatewayEntry& gateway : gateways_) sum += gateway.fingerprint;
  return sum;
}

void Configuration::RequireDistinctAddresses(const v1::ApplyServicesRequest& request,
                                             const Staged& staged) const {
  std::set<std::string> leaving(request.removed().begin(), request.removed().end());
  core::ServiceIndex taken;
  for (const auto& [name, entry] : staged) {
    const core::Service& service = *entry.compiled;
    if (!taken.emplace(core::ServiceKey{service.address, service.protocol}, service.slot).second)
      Refuse("services", "'" + name + "' has the address, port and protocol of another service");
  }
  if (request.replace()) return;
  for (const auto& [key, slot] : taken) {
    const auto holder = current_.index->find(key);
    if (holder == current_.index->end() || holder->second == slot) continue;
    const std::string& name = current_.services[holder->second]->name;
    if (!leaving.contains(name) && !staged.contains(name))
      Refuse("services", "'" + name + "' already has that address, port and protocol");
  }
}

Configuration::Checked Configuration::Check(const v1::ApplyServicesRequest& request) {
  AcquiredSlots acquired;
  try {
    Checked checked{Stage(request, acquired), StageGateways(request, acquired)};
    RequireDistinctAddresses(request, checked.services);
    return checked;
  } catch (...) {
    for (const std::string& name : acquired.services) service_slots_.Release(name);
    for (const std::string& name : acquired.backends) backend_slots_.Release(name);
    throw;
  }
}

void Configuration::Install(ServiceEntry entry) {
  const std::string name = entry.message.name();
  const core::ServiceSlot slot = entry.compiled->slot;
  if (current_.services.size() <= slot) current_.services.resize(slot + 1);
  const auto before = services_.find(name);
  if (before == services_.end() || !SameInIndex(*before->second.compiled, *entry.compiled))
    index_is_stale_ = true;
  if (before != services_.end()) {
    services_fingerprint_ -= before->second.fingerprint;
    if (AnyStoppedKeeping(*before->second.compiled, *entry.compiled))
      ++current_.forwarding_generation;
    std::set<core::BackendSlot> kept;
    for (const core::Backend& backend : entry.compiled->backends) kept.insert(backend.slot);
    for (const core::Backend& backend : before->second.compiled->backends)
      if (!kept.contains(backend.slot))
        backend_slots_.Release(BackendName(name, net::ToString(backend.endpoint.address),
                                           backend.endpoint.port.value()));
  }
  services_fingerprint_ += entry.fingerprint;
  current_.services[slot] = entry.compiled;
  services_.insert_or_assign(name, std::move(entry));
}

void Configuration::Uninstall(const std::string& name) {
  const auto at = services_.find(name);
  if (at == services_.end()) return;
  const core::Service& service = *at->second.compiled;
  for (const core::Backend& backend : service.backends)
    backend_slots_.Release(
        BackendName(name, net::ToString(backend.endpoint.address), backend.endpoint.port.value()));
  services_fingerprint_ -= at->second.fingerprint;
  current_.services[service.slot] = nullptr;
  service_slots_.Release(name);
  services_.erase(at);
  index_is_stale_ = true;
  ++current_.forwarding_generation;
}

void Configuration::InstallGateways(std::vector<GatewayEntry> gateways) {
  if (!std::equal(gateways.begin(), gateways.end(), gateways_.begin(), gateways_.end(),
                  [](const GatewayEntry& one, const GatewayEntry& other) {
                    return one.compiled.service == other.compiled.service;
                  }))
    index_is_stale_ = true;
  std::set<std::string> kept;
  for (const GatewayEntry& gateway : gateways) kept.insert(gateway.name);
  for (const GatewayEntry& gateway : gateways_) {
    if (kept.contains(gateway.name)) continue;
    current_.services[gateway.compiled.service->slot] = nullptr;
    service_slots_.Release(GatewaySlotName(gateway.name));
    backend_slots_.Release(GatewaySlotName(gateway.name));
    ++current_.forwarding_generation;
  }
  for (const GatewayEntry& gateway : gateways) {
    const core::ServiceSlot slot = gateway.compiled.service->slot;
    if (current_.services.size() <= slot) current_.services.resize(slot + 1);
    current_.services[slot] = gateway.compiled.service;
  }
  gateways_ = std::move(gateways);
}

void Configuration::RebuildIndex() {
  auto index = std::make_shared<core::ServiceIndex>();
  auto addresses = std::make_shared<core::AddressSet>();
  auto gateway_backends = std::make_shared<core::AddressSet>();
  index->reserve(services_.size());
  for (const auto& [name, entry] : services_) {
    const core::Service& service = *entry.compiled;
    index->emplace(core::ServiceKey{service.address, service.protocol}, service.slot);
    addresses->insert(service.address.address);
    for (const auto& local : {service.local_addresses.v4, service.local_addresses.v6})
      addresses->insert(local.begin(), local.end());
    if (!service.mode->is_gateway()) continue;
    for (const core::Backend& backend : service.backends)
      gateway_backends->insert(backend.endpoint.address);
  }
  auto outbound_gateways = std::make_shared<core::OutboundGateways>();
  auto outside_addresses = std::make_shared<core::AddressSet>();
  for (const GatewayEntry& gateway : gateways_) {
    outbound_gateways->push_back(gateway.compiled);
    const core::LocalAddresses& outside = gateway.compiled.service->local_addresses;
    for (const auto& of_family : {outside.v4, outside.v6})
      outside_addresses->insert(of_family.begin(), of_family.end());
  }
  addresses->insert(outside_addresses->begin(), outside_addresses->end());
  current_.outbound_gateways = std::move(outbound_gateways);
  current_.outside_addresses = std::move(outside_addresses);
  current_.index = std::move(index);
  current_.own_addresses = std::move(addresses);
  current_.gateway_backends = std::move(gateway_backends);
  RebuildHomeRules();
  index_is_stale_ = false;
}

void Configuration::RebuildHomeRules() {
  std::vector<const core::Service*> services;
  for (const auto& [name, entry] : services_) services.push_back(entry.compiled.get());
  for (const GatewayEntry& gateway : gateways_) services.push_back(gateway.compiled.service.get());
  home_rules_ = core::MakeHomeRules(services, home_rules_,
                                    [this](uint32_t slot) { return HasSessions(slot); });
  current_.home_rules = std::make_shared<const core::HomeRules>(home_rules_);
}

bool Configuration::HasSessions(core::BackendSlot slot) const {
  const BackendTotals sum = SumOf(slot);
  return sum.sessions_created != sum.sessions_ended;
}

std::unique_ptr<const core::Snapshot> Configuration::Apply(
    const v1::ApplyServicesRequest& request) {
  if (!request.replace() && request.base_generation() != current_.generation)
    throw RequestError(v1::Error::CODE_CONFLICT, "base_generation",
                       "generation " + std::to_string(current_.generation) + " is in force, not " +
                           std::to_string(request.base_generation()));
  auto [staged, gateways] = Check(request);
  std::set<std::string> leaving(request.removed().begin(), request.removed().end());
  if (request.replace())
    for (const auto& [name, entry] : services_) leaving.insert(name);
  for (const std::string& name : leaving)
    if (!staged.contains(name)) Uninstall(name);
  for (auto& [name, entry] : staged) Install(std::move(entry));
  InstallGateways(std::move(gateways));
  if (index_is_stale_) RebuildIndex();
  current_.generation = request.generation();
  current_.awaits_configuration = false;
  return Current();
}

// --- health ------------------------------------------------------------------------------------

std::unique_ptr<const core::Snapshot> Configuration::Apply(const v1::ApplyHealthRequest& request) {
  std::set<std::string> touched;  // services
  if (request.replace()) {
    health_.clear();
    health_fingerprint_ = 0;
    for (const auto& [name, entry] : services_) touched.insert(name);
  }
  for (const v1::BackendHealth& entry : request.health()) {
    const std::string name = BackendName(entry.service(), entry.address(), entry.port());
    if (const auto at = health_.find(name); at != health_.end()) {
      health_fingerprint_ -= at->second.fingerprint;
      health_.erase(at);
    }
    touched.insert(entry.service());
    if (entry.health() == v1::HEALTH_UNSPECIFIED) continue;
    const uint64_t fingerprint = proto::Fingerprint(entry);
    health_.emplace(name, HealthEntry{entry.health(), fingerprint});
    health_fingerprint_ += fingerprint;
  }
  for (const std::string& name : touched) {
    const auto at = services_.find(name);
    AcquiredSlots none;  // its slots are in use already
    if (at != services_.end()) Install(Compile(at->second.message, name, none));
  }
  return Current();
}

// --- network -----------------------------------------------------------------------------------

namespace {

// Below the least nobody would make packets smaller.
uint16_t ToMtu(uint32_t route_mtu, net::Family family) {
  if (route_mtu == 0) return 0;
  return static_cast<uint16_t>(std::clamp<uint32_t>(route_mtu, net::LeastMtu(family), UINT16_MAX));
}

std::pair<net::Prefix, std::vector<core::Gateway>> ToRoute(const v1::Route& message,
                                                           const std::string& path,
                                                           size_t port_count) {
  std::vector<core::Gateway> gateways;
  for (int i = 0; i < message.gateways_size(); ++i) {
    const v1::Gateway& gateway = message.gateways(i);
    const std::string gateway_path = path + "." + Indexed("gateways", i);
    if (gateway.port_id() >= port_count) Refuse(gateway_path + ".port_id", "no such port");
    core::Gateway& compiled = gateways.emplace_back();
    compiled.port = static_cast<core::PortId>(gateway.port_id());
    if (!gateway.address().empty())
      compiled.address = Require(net::ParseIpAddress(gateway.address()), gateway_path + ".address");
  }
  const auto prefix = Require(net::ParsePrefix(message.prefix()), path + ".prefix");
  for (core::Gateway& gateway : gateways)
    gateway.mtu = ToMtu(message.mtu(), prefix.address.family());
  return {prefix, std::move(gateways)};
}

core::Neighbour ToNeighbour(const v1::Neighbour& message, const std::string& path,
                            size_t port_count) {
  if (message.port_id() >= port_count) Refuse(path + ".port_id", "no such port");
  return {static_cast<core::PortId>(message.port_id()),
          Require(net::ParseIpAddress(message.address()), path + ".address")};
}

std::string PartName(const core::Neighbour& neighbour) {
  return std::to_string(neighbour.port) + " " + net::ToString(neighbour.address);
}

core::BoxAddress ToBoxAddress(const v1::BoxAddress& message, const std::string& path,
                              size_t port_count) {
  core::BoxAddress compiled;
  if (message.has_port_id()) {
    if (message.port_id() >= port_count) Refuse(path + ".port_id", "no such port");
    compiled.port = static_cast<core::PortId>(message.port_id());
  }
  compiled.address = Require(net::ParseIpAddress(message.address()), path + ".address");
  return compiled;
}

std::string PartName(const core::BoxAddress& address) {
  return "own " + (address.port ? std::to_string(*address.port) + " " : "") +
         net::ToString(address.address);
}

}  // namespace

std::unique_ptr<const core::Snapshot> Configuration::Apply(const v1::ApplyNetworkRequest& request) {
  const size_t port_count = current_.ports.size();
  // Everything is altered in copies, and they replace what is in force once all of it was
  // understood.
  core::NetworkDescription network = request.replace() ? core::NetworkDescription{} : network_;
  std::map<std::string, uint64_t> parts =
      request.replace() ? std::map<std::string, uint64_t>{} : network_parts_;
  for (int i = 0; i < request.removed_routes_size(); ++i) {
    const auto prefix =
        Require(net::ParsePrefix(request.removed_routes(i)), Indexed("removed_routes", i));
    network.routes.erase(prefix);
    parts.erase(net::ToString(prefix));
  }
  for (int i = 0; i < request.routes_size(); ++i) {
    auto [prefix, gateways] = ToRoute(request.routes(i), Indexed("routes", i), port_count);
    network.routes.insert_or_assign(prefix, std::move(gateways));
    parts.insert_or_assign(net::ToString(prefix), proto::Fingerprint(request.routes(i)));
  }
  for (int i = 0; i < request.removed_neighbours_size(); ++i) {
    const auto neighbour =
        ToNeighbour(request.removed_neighbours(i), Indexed("removed_neighbours", i), port_count);
    network.neighbours.erase(neighbour);
    parts.erase(PartName(neighbour));
  }
  for (int i = 0; i < request.neighbours_size(); ++i) {
    const std::string path = Indexed("neighbours", i);
    const auto neighbour = ToNeighbour(request.neighbours(i), path, port_count);
    const auto mac = Require(net::ParseMacAddress(request.neighbours(i).mac()), path + ".mac");
    network.neighbours.insert_or_assign(neighbour, mac);
    parts.insert_or_assign(PartName(neighbour), proto::Fingerprint(request.neighbours(i)));
  }
  for (int i = 0; i < request.removed_addresses_size(); ++i) {
    const auto address =
        ToBoxAddress(request.removed_addresses(i), Indexed("removed_addresses", i), port_count);
    network.addresses.erase(address);
    parts.erase(PartName(address));
  }
  for (int i = 0; i < request.addresses_size(); ++i) {
    const v1::BoxAddress& message = request.addresses(i);
    const std::string path = Indexed("addresses", i);
    const auto address = ToBoxAddress(message, path, port_count);
    if (message.prefix_length() > static_cast<uint32_t>(address.address.bit_length()))
      Refuse(path + ".prefix_length", "is more than the address has bits");
    network.addresses.insert_or_assign(address, static_cast<int>(message.prefix_length()));
    parts.insert_or_assign(PartName(address), proto::Fingerprint(message));
  }
  if (network.neighbours.size() > core::Network::kMaxNextHops)
    throw RequestError(v1::Error::CODE_RESOURCE_EXHAUSTED, "neighbours",
                       "more than " + std::to_string(core::Network::kMaxNextHops) + " neighbours");
  network_ = std::move(network);
  network_parts_ = std::move(parts);
  network_fingerprint_ = 0;
  for (const auto& [name, fingerprint] : network_parts_) network_fingerprint_ += fingerprint;
  current_.network = std::make_shared<core::Network>(network_, current_.ports);
  ++current_.forwarding_generation;
  return Current();
}

// --- counters ----------------------------------------------------------------------------------

Configuration::BackendTotals Configuration::SumOf(core::BackendSlot slot) const {
  BackendTotals sum;
  for (const core::WorkerState* worker : workers_) {
    const core::BackendCounters& counters = worker->backends[slot];
    sum.packets_to_backend += counters.to_backend().packets.value();
    sum.bytes_to_backend += counters.to_backend().bytes.value();
    sum.packets_to_client += counters.to_client().packets.value();
    sum.bytes_to_client += counters.to_client().bytes.value();
    // Ended before created: a session that comes in between then counts as alive, never as less
    // than none.
    sum.sessions_ended += counters.sessions_ended.value();
    sum.sessions_created += counters.sessions_created.value();
  }
  return sum;
}

Configuration::ServiceTotals Configuration::SumOfService(core::ServiceSlot slot) const {
  ServiceTotals sum;
  for (const core::WorkerState* worker : workers_) {
    const core::ServiceCounters& counters = worker->services[slot];
    sum.session_limit_packets += counters.session_limit_packets.value();
    sum.sessions_not_remembered += counters.sessions_not_remembered.value();
    sum.local_port_searches += counters.local_port_searches.value();
    sum.local_port_probes += counters.local_port_probes.value();
    sum.local_port_long_searches += counters.local_port_long_searches.value();
    sum.local_ports_exhausted_packets += counters.local_ports_exhausted_packets.value();
  }
  return sum;
}

Configuration::ServiceTotals Configuration::ServiceTotalsOf(core::ServiceSlot slot) const {
  ServiceTotals totals = SumOfService(slot);
  const auto at = service_baselines_.find(slot);
  if (at == service_baselines_.end()) return totals;
  const ServiceTotals& base = at->second;
  totals.session_limit_packets -= base.session_limit_packets;
  totals.sessions_not_remembered -= base.sessions_not_remembered;
  totals.local_port_searches -= base.local_port_searches;
  totals.local_port_probes -= base.local_port_probes;
  totals.local_port_long_searches -= base.local_port_long_searches;
  totals.local_ports_exhausted_packets -= base.local_ports_exhausted_packets;
  return totals;
}

Configuration::BackendTotals Configuration::TotalsOf(core::BackendSlot slot) const {
  BackendTotals totals = SumOf(slot);
  const auto at = baselines_.find(slot);
  if (at == baselines_.end()) return totals;
  const BackendTotals& base = at->second;
  totals.packets_to_backend -= base.packets_to_backend;
  totals.bytes_to_backend -= base.bytes_to_backend;
  totals.packets_to_client -= base.packets_to_client;
  totals.bytes_to_client -= base.bytes_to_client;
  totals.sessions_created -= base.sessions_created;
  totals.sessions_ended -= base.sessions_ended;
  return totals;
}

}  // namespace steelyard::control
