// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>

#include "controlplane/cli/backend_table.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/errors.h"
#include "controlplane/cli/format.h"
#include "controlplane/cli/json.h"
#include "controlplane/cli/table.h"
#include "controlplane/config/words.h"

namespace steelyard::controlplane::cli {
namespace {

v1::ListServicesResponse Ask(Invocation& invocation, const std::string& name) {
  v1::ListServicesRequest request;
  request.set_name(name);
  return invocation.client.Call(&Client::Stub::ListServices, request);
}

bool IsUp(const v1::BackendStatus& status) {
  return status.health() == v1::HEALTH_UP || status.health() == v1::HEALTH_UNCHECKED;
}

std::string UpOfAll(const v1::ServiceStatus& status) {
  const auto up = std::count_if(status.backends().begin(), status.backends().end(), IsUp);
  return std::to_string(up) + "/" + std::to_string(status.backends_size()) + " up";
}

using Counter = std::function<uint64_t(const v1::BackendCounters&)>;

// "-" while the dataplane is away.
std::string Sum(const v1::ServiceStatus& status, const Counter& counter,
                std::string (*format)(uint64_t)) {
  uint64_t sum = 0;
  for (const v1::BackendStatus& backend : status.backends()) {
    if (!backend.has_counters()) return "-";
    sum += counter(backend.counters());
  }
  return format(sum);
}

std::string Plain(uint64_t number) {
  return std::to_string(number);
}
uint64_t Sessions(const v1::BackendCounters& counters) {
  return counters.sessions_active();
}
uint64_t BytesToBackend(const v1::BackendCounters& counters) {
  return counters.to_backend().bytes();
}
uint64_t BytesToClient(const v1::BackendCounters& counters) {
  return counters.to_client().bytes();
}

void PrintServices(const v1::ListServicesResponse& response, std::ostream& out) {
  Table table(out, {{"NAME"},
                    {"PROTOCOL"},
                    {"ADDRESS"},
                    {"MODE"},
                    {"SCHEDULER"},
                    {"BACKENDS"},
                    {"SESSIONS", kRight},
                    {"TO BACKENDS", kRight},
                    {"TO CLIENTS", kRight}});
  for (const v1::ServiceStatus& status : response.services()) {
    const v1::Service& service = status.service();
    table.Add({service.name(), WordOf(service.protocol()),
               FormatEndpoint(service.address(), service.port()), WordOf(service.mode()),
               WordOf(service.scheduler()), UpOfAll(status), Sum(status, Sessions, Plain),
               Sum(status, BytesToBackend, FormatBytes), Sum(status, BytesToClient, FormatBytes)});
  }
  table.Flush();
}

std::string ClientAddressText(const v1::Service& service) {
  const v1::ClientAddress& client_address = service.client_address();
  const std::string carrier = WordOf(client_address.carrier());
  if (client_address.proxy_v2_udp() != v1::ClientAddress::PROXY_V2_UDP_UNSPECIFIED)
    return carrier + ", in " + WordOf(client_address.proxy_v2_udp()) + " datagram";
  if (client_address.carrier() != v1::ClientAddress::CARRIER_TOA) return carrier;
  return carrier + ", option " + std::to_string(client_address.toa_kind()) +
         (client_address.toa_on_syn() ? ", also on SYN" : "");
}

std::string PersistenceText(const v1::Service& service) {
  if (!service.has_persistence()) return "";
  const v1::Persistence& persistence = service.persistence();
  const bool is_v6 = service.address().find(':') != std::string::npos;
  const uint32_t length =
      is_v6 ? persistence.ipv6_prefix_length() : persistence.ipv4_prefix_length();
  return DurationText(persistence.timeout_ms()) + ", by /" + std::to_string(length);
}

std::string CheckText(const v1::Service& service) {
  if (!service.has_health_check()) return "none";
  const v1::HealthCheck& check = service.health_check();
  std::string text = WordOf(check.type());
  if (check.type() == v1::HealthCheck::TYPE_HTTP) text += " " + check.http_path();
  if (check.port() != 0) text += ", port " + std::to_string(check.port());
  return text + ", every " + DurationText(check.interval_ms()) + ", timeout " +
         DurationText(check.timeout_ms()) + ", rise " + std::to_string(check.rise()) + ", fall " +
         std::to_string(check.fall());
}

void PrintService(const v1::Service& service, std::ostream& out) {
  const std::pair<std::string, std::string> properties[] = {
      {"name", service.name()},
      {"address", FormatEndpoint(service.address(), service.port())},
      {"protocol", WordOf(service.protocol())},
      {"mode", WordOf(service.mode())},
      {"scheduler", WordOf(service.scheduler())},
      {"local addresses", FormatList(service.local_addresses())},
      {"client address", ClientAddressText(service)},
      {"timeouts", FormatTimeouts(service.timeouts())},
      {"persistence", PersistenceText(service)},
      {"max sessions", service.max_sessions() == 0 ? "" : Plain(service.max_sessions())},
      {"health check", CheckText(service)},
  };
  for (const auto& [name, value] : properties) {
    if (!value.empty()) out << name << ':' << std::string(16 - name.size(), ' ') << value << '\n';
  }
  out << '\n';
}

}  // namespace

void ListServices(Invocation& invocation) {
  const v1::ListServicesResponse response = Ask(invocation, "");
  if (invocation.format == OutputFormat::kJson)
    invocation.out << ToJson(response) << '\n';
  else
    PrintServices(response, invocation.out);
}

void ShowService(Invocation& invocation) {
  const std::string name = invocation.Word(0);
  const v1::ListServicesResponse response = Ask(invocation, name);
  if (response.services().empty()) throw CommandError(kNotFound, "no service '" + name + "'");
  if (invocation.format == OutputFormat::kJson) {
    invocation.out << ToJson(response) << '\n';
    return;
  }
  PrintService(response.services(0).service(), invocation.out);
  PrintBackends(response, invocation.out);
}

}  // namespace steelyard::controlplane::cli
