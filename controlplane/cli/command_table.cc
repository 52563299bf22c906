// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/command_table.h"

#include "controlplane/cli/commands.h"

namespace steelyard::controlplane::cli {
namespace {

// clang-format off: tables.
constexpr Option kGlobalOptions[] = {
    {"socket", '\0', "PATH", "The control plane's socket (env STEELYARD_SOCKET)", false,
     Completes::kFiles},
    {"output", 'o', "FORMAT", "table for people (default), json for programs", false,
     Completes::kFormats},
};

constexpr Option kFile = {
    "file", 'f', "FILE", "The declared state, YAML; - for standard input", true, Completes::kFiles};
constexpr Option kApplyOptions[] = {
    kFile,
    {"expected-generation", '\0', "N", "Refuse unless this generation is in force"},
};
constexpr Option kDiffOptions[] = {kFile};
constexpr Option kSessionOptions[] = {
    {"service", '\0', "NAME", "Only of this service or outbound gateway", false,
     Completes::kServicesAndGateways},
    {"client", '\0', "PREFIX", "Only of clients in this prefix or with this address"},
    {"backend", '\0', "ADDRESS", "Only of this backend"},
    {"protocol", '\0', "PROTOCOL", "Only tcp, udp or icmp", false, Completes::kProtocols},
    {"limit", '\0', "N", "At most so many"},
};

constexpr Argument kService[] = {{"NAME", true, Completes::kServices}};
constexpr Argument kGateway[] = {{"NAME", true, Completes::kGateways}};
constexpr Argument kOptionalService[] = {{"SERVICE", false, Completes::kServices}};
constexpr Argument kFlow[] = {
    {"PROTOCOL", true, Completes::kProtocols}, {"SOURCE:PORT"}, {"DESTINATION:PORT"}};
constexpr Argument kShell[] = {{"SHELL", true, Completes::kShells}};

constexpr Command kCommands[] = {
    {"apply", "Put the state of a file in force", kApplyOptions, {}, Apply},
    {"diff", "Show what applying a file would change", kDiffOptions, {}, Diff},
    {"service list", "List the services", {}, {}, ListServices},
    {"service show", "Show one service and its backends", {}, kService, ShowService},
    {"gateway list", "List the outbound gateways", {}, {}, ListGateways},
    {"gateway show", "Show one outbound gateway", {}, kGateway, ShowGateway},
    {"backend list", "List the backends with their health", {}, kOptionalService, ListBackends},
    {"session list", "List the sessions that live now", kSessionOptions, {}, ListSessions},
    {"port list", "List the ports and say how they steer packets to workers", {}, {}, ListPorts},
    {"stats", "Show the dataplane, its ports, workers and verdicts", {}, {}, ShowStats},
    {"lookup",
     "Show what a packet would meet; of icmp, an echo with identifier PORT to port 0",
     {},
     kFlow,
     Lookup},
    {"version", "Show the versions and generations of all programs", {}, {}, ShowVersion},
    {"completion", "Print a completion script for a shell: bash", {}, kShell, PrintCompletion},
};

constexpr Group kGroups[] = {
    {"service", "Virtual addresses and what stands behind them"},
    {"gateway", "What hosts behind the box leave through (source NAT)"},
    {"backend", "What services send their traffic to"},
    {"session", "Tracked flows"},
    {"port", "What the box is connected by"},
};
// clang-format on

}  // namespace

std::span<const Command> Commands() {
  return kCommands;
}
std::span<const Option> GlobalOptions() {
  return kGlobalOptions;
}
std::span<const Group> Groups() {
  return kGroups;
}

}  // namespace steelyard::controlplane::cli
