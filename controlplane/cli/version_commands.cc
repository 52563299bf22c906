// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/commands.h"
#include "controlplane/cli/json.h"

namespace steelyard::controlplane::cli {

void ShowVersion(Invocation& invocation) {
  if (invocation.format == OutputFormat::kTable)
    invocation.out << "steelyardctl            " << STEELYARD_VERSION << '\n';
  const v1::GetVersionResponse response =
      invocation.client.Call(&Client::Stub::GetVersion, v1::GetVersionRequest());
  if (invocation.format == OutputFormat::kJson) {
    invocation.out << ToJson(response) << '\n';
    return;
  }
  invocation.out << "steelyard-controlplane  " << response.controlplane_version() << ", generation "
                 << response.generation() << ", " << response.resyncs_total()
                 << (response.resyncs_total() == 1 ? " resync" : " resyncs") << '\n'
                 << "steelyard-dataplane     ";
  if (response.dataplane_version().empty())
    invocation.out << "away\n";
  else
    invocation.out << response.dataplane_version() << ", generation "
                   << response.dataplane_generation() << '\n';
}

}  // namespace steelyard::controlplane::cli
