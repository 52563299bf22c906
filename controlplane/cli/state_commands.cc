// SPDX-License-Identifier: Apache-2.0
#include <iterator>

#include "controlplane/cli/commands.h"
#include "controlplane/cli/errors.h"
#include "controlplane/cli/json.h"
#include "controlplane/config/declared_state.h"

namespace steelyard::controlplane::cli {
namespace {

struct StateFile {
  std::string name;  // for people
  DeclaredState declared;
};

StateFile Read(Invocation& invocation) {
  const std::string path = invocation.Text("file");
  StateFile file;
  if (path == "-") {
    const std::string text(std::istreambuf_iterator<char>(invocation.in), {});
    file = {"<stdin>", ParseDeclaredState(text)};
  } else {
    file = {path, ReadDeclaredState(path)};
  }
  ValidateDeclaredState(file.declared);
  return file;
}

[[noreturn]] void FailInvalid(const StateFile& file, size_t faults) {
  throw CommandError(kError, file.name + " has " + std::to_string(faults) +
                                 (faults == 1 ? " error" : " errors") + "; nothing was changed");
}

// What both commands do: the file goes to the daemon, faults of either side end the command.
v1::ApplyStateResponse Send(Invocation& invocation, bool dry_run) {
  const StateFile file = Read(invocation);
  if (!file.declared.ok()) {
    invocation.err << FormatFaults(file.name, file.declared.faults);
    FailInvalid(file, file.declared.faults.size());
  }
  v1::ApplyRequest request;
  *request.mutable_state() = file.declared.state;
  request.set_dry_run(dry_run);
  request.set_expected_generation(invocation.Number("expected-generation"));
  v1::ApplyStateResponse response = invocation.client.Call(&Client::Stub::Apply, request);
  if (response.violations().empty()) return response;
  std::vector<Fault> faults;
  for (const v1::Violation& violation : response.violations()) {
    faults.push_back(
        {file.declared.source_map.Find(violation.path()), violation.path(), violation.message()});
  }
  invocation.err << FormatFaults(file.name, faults);
  FailInvalid(file, faults.size());
}

void PrintChange(const v1::Change& change, std::ostream& out) {
  switch (change.kind()) {
    case v1::Change::KIND_ADDED:
      out << "+ " << change.path() << ": " << change.after();
      break;
    case v1::Change::KIND_REMOVED:
      out << "- " << change.path() << ": " << change.before();
      break;
    default:
      out << "~ " << change.path() << ": " << change.before() << " -> " << change.after();
  }
  out << '\n';
}

void PrintChanges(const v1::ApplyStateResponse& response, std::ostream& out) {
  for (const v1::Change& change : response.changes()) PrintChange(change, out);
}

}  // namespace

void Apply(Invocation& invocation) {
  const v1::ApplyStateResponse response = Send(invocation, false);
  if (invocation.format == OutputFormat::kJson) {
    invocation.out << ToJson(response) << '\n';
    return;
  }
  PrintChanges(response, invocation.out);
  invocation.out << "generation " << response.generation()
                 << (response.changes().empty() ? " stays in force: no differences"
                                                : " is in force")
                 << '\n';
  if (!response.pushed())
    invocation.err << "steelyardctl: the dataplane is away; it gets this state when it is back\n";
}

void Diff(Invocation& invocation) {
  const v1::ApplyStateResponse response = Send(invocation, true);
  if (invocation.format == OutputFormat::kJson)
    invocation.out << ToJson(response) << '\n';
  else if (response.changes().empty())
    invocation.out << "no differences\n";
  else
    PrintChanges(response, invocation.out);
}

}  // namespace steelyard::controlplane::cli
