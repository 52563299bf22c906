// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <boost/program_options.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "controlplane/config/daemon_config.h"
#include "controlplane/daemon.h"

namespace steelyard::controlplane {
namespace {

constexpr int kExitError = 1;
constexpr int kExitUsage = 2;

void PrintError(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  if (!text.ends_with('\n')) std::fputc('\n', stderr);
}

// Each check of a backend holds a socket.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Check(const DaemonConfig& config) {
  if (config.services_file.empty()) return 0;
  const std::string faults = CheckServicesFile(config.services_file);
  if (faults.empty()) return 0;
  PrintError(faults);
  return kExitError;
}

int Run(const std::string& config_path, bool check_only) {
  DaemonConfigReading reading = ReadDaemonConfig(config_path);
  if (!reading.ok()) {
    PrintError(FormatFaults(config_path, reading.faults));
    return kExitError;
  }
  if (check_only) return Check(reading.config);
  // A peer that closes its socket is an error of a write, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();
  Daemon(std::move(reading.config)).Run();
  return 0;
}

int Main(int argument_count, char** arguments) {
  namespace options = boost::program_options;
  options::options_description description(
      "Usage: steelyard-controlplane [OPTION]...\n"
      "Keeps steelyard-dataplane true to the declared state.\n\n"
      "SIGHUP reads services_file again; SIGTERM and SIGINT stop, and leave VIPs and dataplane as\n"
      "they are.\n\nOptions");
  description.add_options()(
      "config", options::value<std::string>()->default_value("/etc/steelyard/steelyard.yaml"),
      "the daemon's configuration")(
      "check", "check the configuration and its services_file, and exit: 0 good, 1 not")(
      "help", "show this and exit")("version", "show the version and exit");
  options::variables_map values;
  try {
    options::store(options::command_line_parser(argument_count, arguments)
                       .options(description)
                       .positional({})
                       .run(),
                   values);
    options::notify(values);
  } catch (const options::error& error) {
    PrintError(std::string("steelyard-controlplane: ") + error.what() +
               "\nTry 'steelyard-controlplane --help'.");
    return kExitUsage;
  }
  if (values.count("help") > 0) {
    std::cout << description;
    return 0;
  }
  if (values.count("version") > 0) {
    std::cout << "steelyard-controlplane " STEELYARD_VERSION "\n";
    return 0;
  }
  return Run(values["config"].as<std::string>(), values.count("check") > 0);
}

}  // namespace
}  // namespace steelyard::controlplane

int main(int argument_count, char** arguments) {
  try {
    return steelyard::controlplane::Main(argument_count, arguments);
  } catch (const std::exception& error) {
    steelyard::controlplane::PrintError(error.what());
    return steelyard::controlplane::kExitError;
  }
}
