// SPDX-License-Identifier: Apache-2.0
#include "control/service_compiler.h"

#include <algorithm>
#include <cctype>

#include "control/request_error.h"
#include "core/forward/forwarding_mode.h"
#include "proto/convert.h"

namespace steelyard::control {
namespace {

[[noreturn]] void Refuse(const std::string& path, const std::string& message) {
  throw RequestError(v1::Error::CODE_INVALID_ARGUMENT, path, message);
}

template <typename T>
T Require(const net::Result<T>& result, const std::string& path) {
  if (!result) Refuse(path, result.error().message);
  return *result;
}

// SCHEDULER_WEIGHTED_ROUND_ROBIN → weighted_round_robin: the registries' names are the schema's.
std::string WordOf(const std::string& enum_name, const std::string& prefix) {
  if (enum_name.size() <= prefix.size()) return "";
  std::string word = enum_name.substr(prefix.size());
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return word;
}

// Session clocks are 32-bit milliseconds compared by signed difference.
constexpr uint64_t kMaxTimeoutMs = 24ull * 3600 * 1000;

core::Timeouts CompileTimeouts(const v1::Timeouts& message, const std::string& path) {
  const std::array<uint64_t, core::kTcpStateCount> by_state = {
      message.udp_ms(),
      message.tcp_syn_sent_ms(),
      message.tcp_syn_received_ms(),
      message.tcp_established_ms(),
      message.tcp_closing_ms(),
      message.tcp_closing_ms(),
      message.tcp_closing_ms(),
      message.tcp_time_wait_ms(),
      message.tcp_closed_ms(),
  };
  core::Timeouts timeouts_ms;
  for (size_t i = 0; i < by_state.size(); ++i) {
    if (by_state[i] == 0 || by_state[i] > kMaxTimeoutMs)
      Refuse(path, "every timeout must be within 1 ms to 24 h");
    timeouts_ms[i] = static_cast<uint32_t>(by_state[i]);
  }
  return timeouts_ms;
}

core::ClientAddressCarrier CompileCarrier(v1::ClientAddress::Carrier carrier,
                                          const std::string& path) {
  switch (carrier) {
    case v1::ClientAddress::CARRIER_NONE:
      return core::ClientAddressCarrier::kNone;
    case v1::ClientAddress::CARRIER_TOA:
      return core::ClientAddressCarrier::kToa;
    case v1::ClientAddress::CARRIER_PROXY_V2:
      return core::ClientAddressCarrier::kProxyV2;
    default:
      Refuse(path, "unknown carrier");
  }
}

core::ClientAddress CompileClientAddress(const v1::ClientAddress& message,
                                         const std::string& path) {
  if (message.toa_kind() == 0 || message.toa_kind() > 255)
    Refuse(path + ".toa_kind", "must be within 1 to 255");
  return {.carrier = CompileCarrier(message.carrier(), path + ".carrier"),
          .toa_on_syn = message.toa_on_syn(),
          .toa_kind = static_cast<uint8_t>(message.toa_kind()),
          .first_datagram_only = message.proxy_v2_udp() == v1::ClientAddress::PROXY_V2_UDP_FIRST};
}

core::Persistence CompilePersistence(const v1::Persistence& message, const std::string& path) {
  if (message.timeout_ms() == 0 || message.timeout_ms() > kMaxTimeoutMs)
    Refuse(path + ".timeout_ms", "must be within 1 ms to 24 h");
  if (message.ipv4_prefix_length() == 0 || message.ipv4_prefix_length() > 32)
    Refuse(path + ".ipv4_prefix_length", "must be within 1 to 32");
  if (message.ipv6_prefix_length() == 0 || message.ipv6_prefix_length() > 128)
    Refuse(path + ".ipv6_prefix_length", "must be within 1 to 128");
  return {.enabled = true,
          .ipv4_prefix_length = static_cast<uint8_t>(message.ipv4_prefix_length()),
          .ipv6_prefix_length = static_cast<uint8_t>(message.ipv6_prefix_length())};
}

uint32_t LimitOf(uint32_t max_sessions) {
  return max_sessions == 0 ? core::kNoSessionLimit : max_sessions;
}

uint64_t IntervalOfWorker(uint32_t max_new_sessions_per_second, uint32_t workers) {
  if (max_new_sessions_per_second == 0) return 0;
  return 1'000'000'000ull * workers / max_new_sessions_per_second;
}

core::TunnelOptions CompileTunnel(const v1::Tunnel& message, const std::string& path) {
  core::TunnelOptions options;
  options.gue_port = Require(proto::ToPort(message.gue_port()), path + ".gue_port");
  if (message.ttl() == 0 || message.ttl() > 255) Refuse(path + ".ttl", "must be within 1 to 255");
  options.ttl = static_cast<uint8_t>(message.ttl());
  for (int i = 0; i < message.source_prefixes_size(); ++i)
    options.source_prefixes.push_back(
        Require(net::ParsePrefix(message.source_prefixes(i)),
                path + ".source_prefixes[" + std::to_string(i) + "]"));
  return options;
}

core::Backend CompileBackend(const std::string& service, const v1::Backend& message,
                             const std::string& path, const CompileContext& context) {
  const std::string name = BackendName(service, message.address(), message.port());
  const v1::Health health = context.health(name);
  const bool healthy = health == v1::HEALTH_UP || health == v1::HEALTH_UNCHECKED;
  core::Backend backend;
  backend.endpoint = Require(proto::ToEndpoint(message.address(), message.port()), path);
  backend.weight = message.weight();
  backend.available =
      healthy && message.admin_state() == v1::ADMIN_STATE_ENABLED && message.weight() > 0;
  backend.keeps_sessions =
      health != v1::HEALTH_DOWN && message.admin_state() != v1::ADMIN_STATE_DISABLED;
  backend.encapsulation = message.encapsulation() == v1::Tunnel::ENCAPSULATION_GUE
                              ? core::Encapsulation::kGue
                              : core::Encapsulation::kIpip;
  backend.slot = context.backend_slot(name);
  backend.max_sessions = LimitOf(message.max_sessions());
  return backend;
}

// Of the backends that could take new sessions, only those of the first priority do.
void LetFirstPriorityTakeSessions(const v1::Service& message,
                                  std::vector<core::Backend>& backends) {
  uint32_t first = UINT32_MAX;
  for (size_t i = 0; i < backends.size(); ++i)
    if (backends[i].available)
      first = std::min(first, message.backends(static_cast<int>(i)).priority());
  for (size_t i = 0; i < backends.size(); ++i)
    backends[i].available &= message.backends(static_cast<int>(i)).priority() == first;
}

std::vector<net::Prefix> CompilePrefixes(
    const google::protobuf::RepeatedPtrField<std::string>& texts, const std::string& path) {
  std::vector<net::Prefix> prefixes;
  for (int i = 0; i < texts.size(); ++i)
    prefixes.push_back(Require(net::ParsePrefix(texts[i]), path + "[" + std::to_string(i) + "]"));
  return prefixes;
}

void CompileProtocols(const v1::OutboundGateway& message, const std::string& path,
                      core::OutboundGateway& gateway) {
  for (int i = 0; i < message.protocols_size(); ++i) switch (message.protocols(i)) {
      case v1::PROTOCOL_TCP:
        gateway.takes_tcp = true;
        break;
      case v1::PROTOCOL_UDP:
        gateway.takes_udp = true;
        break;
      case v1::PROTOCOL_ICMP:
        gateway.takes_icmp = true;
        break;
      default:
        Refuse(path + "[" + std::to_string(i) + "]", "must be tcp, udp or icmp");
    }
}

// The sessions of a gateway are those of a service that has the world outside as its one backend.
std::shared_ptr<const core::Service> CompileGatewayService(const v1::OutboundGateway& message,
                                                           const std::string& path,
                                                           const CompileContext& context) {
  auto service = std::make_shared<core::Service>();
  service->name = message.name();
  service->mode = &core::Snat();
  for (int i = 0; i < message.outside_addresses_size(); ++i)
    service->local_addresses.Add(Require(net::ParseIpAddress(message.outside_addresses(i)),
                                         path + ".outside_addresses[" + std::to_string(i) + "]"));
  service->timeouts_ms = CompileTimeouts(message.timeouts(), path + ".timeouts");
  if (message.timeouts().icmp_ms() == 0 || message.timeouts().icmp_ms() > kMaxTimeoutMs)
    Refuse(path + ".timeouts.icmp_ms", "must be within 1 ms to 24 h");
  service->icmp_timeout_ms = static_cast<uint32_t>(message.timeouts().icmp_ms());
  service->endpoint_independent_udp =
      message.udp_mapping() == v1::OutboundGateway::UDP_MAPPING_ENDPOINT_INDEPENDENT;
  service->max_sessions = LimitOf(message.max_sessions());
  service->slot = context.service_slot(GatewaySlotName(message.name()));
  core::Backend& outside = service->backends.emplace_back();
  outside.available = outside.keeps_sessions = true;
  outside.slot = context.backend_slot(GatewaySlotName(message.name()));
  if (const net::Status status = service->mode->Check(*service, outside); !status)
    Refuse(path + ".outside_addresses", status.error().message);
  return service;
}

}  // namespace

std::string GatewaySlotName(const std::string& gateway) {
  return "outbound gateway " + gateway;
}

core::OutboundGateway CompileOutboundGateway(const v1::OutboundGateway& message,
                                             const std::string& path,
                                             const CompileContext& context) {
  core::OutboundGateway gateway;
  if (message.name().empty()) Refuse(path + ".name", "must not be empty");
  gateway.inside_prefixes = CompilePrefixes(message.inside_prefixes(), path + ".inside_prefixes");
  gateway.destinations = CompilePrefixes(message.destinations(), path + ".destinations");
  CompileProtocols(message, path + ".protocols", gateway);
  gateway.service = CompileGatewayService(message, path, context);
  return gateway;
}

std::string BackendName(const std::string& service, const std::string& address, uint32_t port) {
  // One name however the address is written; what is no address is refused where it is compiled.
  const auto parsed = net::ParseIpAddress(address);
  return service + " " + (parsed ? net::ToString(*parsed) : address) + " " + std::to_string(port);
}

std::shared_ptr<const core::Service> CompileService(const v1::Service& message,
                                                    const std::string& path,
                                                    const CompileContext& context) {
  auto service = std::make_shared<core::Service>();
  if (message.name().empty()) Refuse(path + ".name", "must not be empty");
  service->name = message.name();
  service->address =
      Require(proto::ToEndpoint(message.address(), message.port()), path + ".address");
  service->protocol = Require(proto::ToL4Protocol(message.protocol()), path + ".protocol");

  const std::string mode = WordOf(v1::ForwardingMode_Name(message.mode()), "FORWARDING_MODE_");
  service->mode = core::FindForwardingMode(mode);
  if (service->mode == nullptr) Refuse(path + ".mode", "unknown forwarding mode");

  for (int i = 0; i < message.local_addresses_size(); ++i)
    service->local_addresses.Add(Require(net::ParseIpAddress(message.local_addresses(i)),
                                         path + ".local_addresses[" + std::to_string(i) + "]"));
  service->client_address =
      CompileClientAddress(message.client_address(), path + ".client_address");
  service->clamp_mss = message.clamp_mss();
  if (message.has_tunnel()) service->tunnel = CompileTunnel(message.tunnel(), path + ".tunnel");
  service->timeouts_ms = CompileTimeouts(message.timeouts(), path + ".timeouts");
  if (message.has_persistence()) {
    service->persistence = CompilePersistence(message.persistence(), path + ".persistence");
    service->template_timeout_ms = static_cast<uint32_t>(message.persistence().timeout_ms());
  }
  service->max_sessions = LimitOf(message.max_sessions());

  if (static_cast<uint32_t>(message.backends_size()) > core::kMaxBackendsPerService)
    Refuse(path + ".backends", "more than a service may have");

  service->slot = context.service_slot(message.name());
  for (int i = 0; i < message.backends_size(); ++i) {
    const std::string backend_path = path + ".backends[" + std::to_string(i) + "]";
    service->backends.push_back(
        CompileBackend(message.name(), message.backends(i), backend_path, context));
    const net::Status status = service->mode->Check(*service, service->backends.back());
    if (!status) Refuse(backend_path, status.error().message);
  }
  LetFirstPriorityTakeSessions(message, service->backends);

  const core::SchedulerKind* scheduler =
      core::FindSchedulerKind(WordOf(v1::Scheduler_Name(message.scheduler()), "SCHEDULER_"));
  if (scheduler == nullptr) Refuse(path + ".scheduler", "unknown scheduler");
  service->scheduler = scheduler->make(service->backends);
  if (service->mode->is_one_way()) {
    const bool is_maglev = message.scheduler() == v1::SCHEDULER_MAGLEV;
    service->stateless_scheduler =
        is_maglev ? service->scheduler : core::MakeMaglev(service->backends);
    service->new_session_interval_ns =
        IntervalOfWorker(message.max_new_sessions_per_second(), context.workers);
  }
  return service;
}

}  // namespace steelyard::control
