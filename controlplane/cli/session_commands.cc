// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/arguments.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/format.h"
#include "controlplane/cli/json.h"
#include "controlplane/cli/table.h"
#include "controlplane/config/words.h"

namespace steelyard::controlplane::cli {
namespace {

v1::ListSessionsRequest MakeRequest(const Invocation& invocation) {
  v1::ListSessionsRequest request;
  v1::SessionFilter& filter = *request.mutable_filter();
  filter.set_service(invocation.Text("service"));
  filter.set_client_prefix(invocation.Text("client"));
  filter.set_backend_address(invocation.Text("backend"));
  const std::string protocol = invocation.Text("protocol");
  if (!protocol.empty()) filter.set_protocol(ParseProtocol(protocol));
  request.set_limit(invocation.Number("limit"));
  return request;
}

std::vector<std::string> Row(const v1::Session& session) {
  return {WordOf(session.protocol()),
          session.service(),
          FormatEndpoint(session.client()),
          FormatEndpoint(session.virtual_()),
          FormatEndpoint(session.local()),
          FormatEndpoint(session.backend()),
          session.state(),
          FormatDuration(session.idle_ms()),
          FormatDuration(session.age_ms()),
          FormatDuration(session.expires_in_ms()),
          FormatBytes(session.to_backend().bytes()),
          FormatBytes(session.to_client().bytes()),
          std::to_string(session.worker())};
}

void PrintTable(Invocation& invocation, const v1::ListSessionsRequest& request) {
  Table table(invocation.out, {{"PROTOCOL"},
                               {"SERVICE"},
                               {"CLIENT"},
                               {"VIRTUAL"},
                               {"LOCAL"},
                               {"BACKEND"},
                               {"STATE"},
                               {"IDLE", kRight},
                               {"AGE", kRight},
                               {"EXPIRES", kRight},
                               {"TO BACKEND", kRight},
                               {"TO CLIENT", kRight},
                               {"WORKER", kRight}});
  invocation.client.ListSessions(request, [&](const v1::ListSessionsResponse& part) {
    for (const v1::Session& session : part.sessions()) table.Add(Row(session));
    table.Flush();
  });
  table.Flush();
}

// The fields of one ListSessionsResponse, a session a line as they arrive.
void PrintJson(Invocation& invocation, const v1::ListSessionsRequest& request) {
  invocation.out << "{\"sessions\": [";
  const char* separator = "\n";
  invocation.client.ListSessions(request, [&](const v1::ListSessionsResponse& part) {
    for (const v1::Session& session : part.sessions()) {
      invocation.out << separator << ToJson(session, JsonLayout::kOneLine);
      separator = ",\n";
    }
  });
  invocation.out << "\n]}\n";
}

}  // namespace

void ListSessions(Invocation& invocation) {
  const v1::ListSessionsRequest request = MakeRequest(invocation);
  if (invocation.format == OutputFormat::kJson)
    PrintJson(invocation, request);
  else
    PrintTable(invocation, request);
}

}  // namespace steelyard::controlplane::cli
