// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/backend_table.h"

#include "controlplane/cli/format.h"
#include "controlplane/cli/table.h"
#include "controlplane/config/words.h"

namespace steelyard::controlplane::cli {
namespace {

// Not known while the dataplane is away.
std::string Counted(const v1::BackendStatus& status, const std::string& value) {
  return status.has_counters() ? value : "-";
}

std::string Sessions(const v1::BackendStatus& status) {
  const std::string active = std::to_string(status.counters().sessions_active());
  const uint32_t most = status.backend().max_sessions();
  return Counted(status, most == 0 ? active : active + "/" + std::to_string(most));
}

std::vector<std::string> Row(const std::string& service, const v1::BackendStatus& status) {
  const v1::Backend& backend = status.backend();
  const v1::BackendCounters& counters = status.counters();
  return {service,
          FormatEndpoint(backend.address(), backend.port()),
          std::to_string(backend.weight()),
          std::to_string(backend.priority()),
          WordOf(backend.admin_state()),
          WordOf(status.health()),
          FormatAge(status.since_unix_ms()),
          Sessions(status),
          Counted(status, FormatBytes(counters.to_backend().bytes())),
          Counted(status, FormatBytes(counters.to_client().bytes())),
          status.reason()};
}

}  // namespace

void PrintBackends(const v1::ListServicesResponse& response, std::ostream& out) {
  Table table(out, {{"SERVICE"},
                    {"BACKEND"},
                    {"WEIGHT", kRight},
                    {"PRIORITY", kRight},
                    {"ADMIN"},
                    {"HEALTH"},
                    {"SINCE", kRight},
                    {"SESSIONS", kRight},
                    {"TO BACKEND", kRight},
                    {"TO CLIENT", kRight},
                    {"REASON"}});
  for (const v1::ServiceStatus& service : response.services()) {
    for (const v1::BackendStatus& backend : service.backends())
      table.Add(Row(service.service().name(), backend));
  }
  table.Flush();
}

}  // namespace steelyard::controlplane::cli
