// SPDX-License-Identifier: Apache-2.0
//
// The functions behind the rows of command_table.cc, a file a group.
#pragma once

#include "controlplane/cli/command.h"

namespace steelyard::controlplane::cli {

// state_commands.cc
void Apply(Invocation& invocation);
void Diff(Invocation& invocation);
// service_commands.cc
void ListServices(Invocation& invocation);
void ShowService(Invocation& invocation);
// gateway_commands.cc
void ListGateways(Invocation& invocation);
void ShowGateway(Invocation& invocation);
// backend_commands.cc
void ListBackends(Invocation& invocation);
// session_commands.cc
void ListSessions(Invocation& invocation);
// stats_commands.cc
void ListPorts(Invocation& invocation);
void ShowStats(Invocation& invocation);
// lookup_commands.cc
void Lookup(Invocation& invocation);
// version_commands.cc
void ShowVersion(Invocation& invocation);
// completion_commands.cc
void PrintCompletion(Invocation& invocation);

}  // namespace steelyard::controlplane::cli
