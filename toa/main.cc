// SPDX-License-Identifier: Apache-2.0
//
// steelyard-toa. Exit status 0 after SIGINT or SIGTERM, 1 when it cannot attach, 2 for a wrong
// command line.
#include <csignal>
#include <iostream>

#include "toa/command_line.h"
#include "toa/listeners.h"
#include "toa/loader.h"

namespace {

using steelyard::toa::Attachment;
using steelyard::toa::CommandLine;

std::string Describe(const CommandLine& command_line) {
  std::string text = "attached to " + command_line.cgroup_path + ": TOA kind " +
                     std::to_string(command_line.kind) + " is believed from ";
  const char* separator = "";
  for (const auto& prefix : command_line.local_addresses) {
    text += separator + ToString(prefix);
    separator = ", ";
  }
  return text;
}

sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

int Run(const CommandLine& command_line) {
  const sigset_t signals = BlockStopSignals();
  const auto attachment =
      Attachment::Attach(command_line.cgroup_path, command_line.local_addresses, command_line.kind);
  if (!attachment) {
    std::cerr << "steelyard-toa: " << attachment.error().message << std::endl;
    return 1;
  }
  // After attaching: a socket that begins to listen in between is seen by the eBPF program.
  steelyard::toa::SaveSynsOfListeners(command_line.cgroup_path);
  std::cout << "steelyard-toa " STEELYARD_VERSION ": " << Describe(command_line) << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto command_line = steelyard::toa::ParseCommandLine(argc, argv);
  if (!command_line) {
    std::cerr << "steelyard-toa: " << command_line.error().message << "\nTry steelyard-toa --help."
              << std::endl;
    return 2;
  }
  if (command_line->wants_help) {
    std::cout << steelyard::toa::HelpText();
    return 0;
  }
  if (command_line->wants_version) {
    std::cout << "steelyard-toa " STEELYARD_VERSION << std::endl;
    return 0;
  }
  return Run(*command_line);
}
