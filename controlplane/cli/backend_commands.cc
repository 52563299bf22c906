// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/backend_table.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/json.h"

namespace steelyard::controlplane::cli {

void ListBackends(Invocation& invocation) {
  v1::ListServicesRequest request;
  request.set_name(invocation.Word(0));
  const v1::ListServicesResponse response =
      invocation.client.Call(&Client::Stub::ListServices, request);
  if (invocation.format == OutputFormat::kJson)
    invocation.out << ToJson(response) << '\n';
  else
    PrintBackends(response, invocation.out);
}

}  // namespace steelyard::controlplane::cli
