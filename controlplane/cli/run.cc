// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/run.h"

#include <exception>

#include "controlplane/cli/command_line.h"
#include "controlplane/cli/errors.h"

namespace steelyard::controlplane::cli {
namespace {

OutputFormat ParseFormat(const std::map<std::string, std::string>& options) {
  const auto found = options.find("output");
  if (found == options.end() || found->second == "table") return OutputFormat::kTable;
  if (found->second == "json") return OutputFormat::kJson;
  throw UsageError("--output: '" + found->second + "' is neither table nor json");
}

void RunCommand(const CommandLine& line, const std::string& default_socket,
                const Console& console) {
  const auto socket = line.options.find("socket");
  Client client(socket == line.options.end() ? default_socket : socket->second);
  Invocation invocation{
      client,     ParseFormat(line.options), line.arguments, line.options, console.in, console.out,
      console.err};
  line.command->run(invocation);
}

int Fail(const Console& console, const std::string& sentence, ExitCode exit_code) {
  console.out.flush();  // what was said before stands before
  console.err << "steelyardctl: " << sentence << '\n';
  if (exit_code == kUsage) console.err << "Try 'steelyardctl --help'.\n";
  return exit_code;
}

}  // namespace

int RunSteelyardctl(const std::vector<std::string>& words, const std::string& default_socket,
                    const Console& console) {
  try {
    const CommandLine line = ParseCommandLine(words);
    if (line.help)
      console.out << HelpFor(line);
    else
      RunCommand(line, default_socket, console);
    console.out.flush();
    return kOk;
  } catch (const CommandError& error) {
    return Fail(console, error.what(), error.exit_code());
  } catch (const std::exception& error) {
    return Fail(console, error.what(), kError);
  }
}

}  // namespace steelyard::controlplane::cli
