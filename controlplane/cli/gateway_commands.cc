// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/commands.h"
#include "controlplane/cli/errors.h"
#include "controlplane/cli/format.h"
#include "controlplane/cli/json.h"
#include "controlplane/cli/table.h"
#include "controlplane/config/words.h"

namespace steelyard::controlplane::cli {
namespace {

v1::ListOutboundGatewaysResponse Ask(Invocation& invocation, const std::string& name) {
  v1::ListOutboundGatewaysRequest request;
  request.set_name(name);
  return invocation.client.Call(&Client::Stub::ListOutboundGateways, request);
}

std::string ProtocolsText(const v1::OutboundGateway& gateway) {
  std::string text;
  for (int i = 0; i < gateway.protocols_size(); ++i)
    text += (i == 0 ? "" : ", ") + WordOf(gateway.protocols(i));
  return text;
}

// Not known while the dataplane is away.
std::string Counted(const v1::OutboundGatewayStatus& status, const std::string& value) {
  return status.has_counters() ? value : "-";
}

std::string Sessions(const v1::OutboundGatewayStatus& status) {
  const std::string active = std::to_string(status.counters().sessions_active());
  const uint32_t most = status.outbound_gateway().max_sessions();
  return Counted(status, most == 0 ? active : active + "/" + std::to_string(most));
}

std::vector<std::string> Row(const v1::OutboundGatewayStatus& status) {
  const v1::OutboundGateway& gateway = status.outbound_gateway();
  const v1::OutboundGatewayCounters& counters = status.counters();
  const auto number = [&](uint64_t value) { return Counted(status, std::to_string(value)); };
  return {gateway.name(),
          FormatList(gateway.inside_prefixes()),
          FormatList(gateway.outside_addresses()),
          ProtocolsText(gateway),
          WordOf(gateway.udp_mapping()),
          Sessions(status),
          number(counters.to_outside().packets()),
          Counted(status, FormatBytes(counters.to_outside().bytes())),
          number(counters.to_inside().packets()),
          Counted(status, FormatBytes(counters.to_inside().bytes())),
          number(counters.local_ports().long_searches()),
          number(counters.local_ports().exhausted_packets())};
}

void PrintGateways(const v1::ListOutboundGatewaysResponse& response, std::ostream& out) {
  Table table(out, {{"NAME"},
                    {"INSIDE"},
                    {"OUTSIDE"},
                    {"PROTOCOLS"},
                    {"UDP MAPPING"},
                    {"SESSIONS", kRight},
                    {"PACKETS OUT", kRight},
                    {"BYTES OUT", kRight},
                    {"PACKETS IN", kRight},
                    {"BYTES IN", kRight},
                    {"LONG SEARCHES", kRight},
                    {"EXHAUSTED", kRight}});
  for (const v1::OutboundGatewayStatus& status : response.outbound_gateways())
    table.Add(Row(status));
  table.Flush();
}

std::string TrafficText(const v1::TrafficCounters& traffic) {
  return std::to_string(traffic.packets()) + " packets, " + FormatBytes(traffic.bytes());
}

std::string SearchesText(const v1::LocalPortCounters& ports) {
  return std::to_string(ports.searches()) + " with " + std::to_string(ports.probes()) +
         " probes, " + std::to_string(ports.long_searches()) + " long; " +
         std::to_string(ports.exhausted_packets()) + " packets dropped for want of a port";
}

void PrintGateway(const v1::OutboundGatewayStatus& status, std::ostream& out) {
  const v1::OutboundGateway& gateway = status.outbound_gateway();
  const v1::OutboundGatewayCounters& counters = status.counters();
  const std::string destinations = FormatList(gateway.destinations());
  const std::pair<std::string, std::string> properties[] = {
      {"name", gateway.name()},
      {"inside prefixes", FormatList(gateway.inside_prefixes())},
      {"outside addresses", FormatList(gateway.outside_addresses())},
      {"destinations", destinations.empty() ? "any" : destinations},
      {"protocols", ProtocolsText(gateway)},
      {"udp mapping", WordOf(gateway.udp_mapping())},
      {"timeouts", FormatTimeouts(gateway.timeouts())},
      {"sessions", Sessions(status)},
      {"sessions created", Counted(status, std::to_string(counters.sessions_created()))},
      {"refused at limit",
       Counted(status, std::to_string(counters.session_limit_packets()) + " packets")},
      {"to outside", Counted(status, TrafficText(counters.to_outside()))},
      {"to inside", Counted(status, TrafficText(counters.to_inside()))},
      {"port searches", Counted(status, SearchesText(counters.local_ports()))},
  };
  for (const auto& [name, value] : properties)
    out << name << ':' << std::string(19 - name.size(), ' ') << value << '\n';
}

}  // namespace

void ListGateways(Invocation& invocation) {
  const v1::ListOutboundGatewaysResponse response = Ask(invocation, "");
  if (invocation.format == OutputFormat::kJson)
    invocation.out << ToJson(response) << '\n';
  else
    PrintGateways(response, invocation.out);
}

void ShowGateway(Invocation& invocation) {
  const std::string name = invocation.Word(0);
  const v1::ListOutboundGatewaysResponse response = Ask(invocation, name);
  if (response.outbound_gateways().empty())
    throw CommandError(kNotFound, "no outbound gateway '" + name + "'");
  if (invocation.format == OutputFormat::kJson)
    invocation.out << ToJson(response) << '\n';
  else
    PrintGateway(response.outbound_gateways(0), invocation.out);
}

}  // namespace steelyard::controlplane::cli
