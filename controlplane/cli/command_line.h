// SPDX-License-Identifier: Apache-2.0
//
// From the words of a command line to a command of the table. Options may stand anywhere. Pure.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/cli/command.h"

namespace steelyard::controlplane::cli {

struct CommandLine {
  const Command* command = nullptr;  // null: help was asked for, of `group` or of the program
  std::string_view group;
  bool help = false;
  std::vector<std::string> arguments;          // as many as the command takes
  std::map<std::string, std::string> options;  // by long name, global ones too; those given
};

// Throws UsageError: unknown command (with a suggestion) or option, missing or extra words.
CommandLine ParseCommandLine(const std::vector<std::string>& words);

// "service show NAME"; "apply --file FILE [options]"
std::string UsageOf(const Command& command);

// The help of what the command line asks help for.
std::string HelpFor(const CommandLine& line);

}  // namespace steelyard::controlplane::cli
