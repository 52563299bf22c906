// SPDX-License-Identifier: Apache-2.0
//
// What a command is. All of them stand in command_table.cc; parsing, help and completion are made
// from there.
#pragma once

#include <istream>
#include <map>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/cli/client.h"

namespace steelyard::controlplane::cli {

// What the shell offers for a word.
enum class Completes {
  kNothing,
  kFiles,
  kServices,
  kGateways,
  kServicesAndGateways,
  kProtocols,
  kFormats,
  kShells
};

// Every option takes a value.
struct Option {
  std::string_view name;   // long: "file"
  char letter = '\0';      // short, or none
  std::string_view value;  // what stands for it in help: "FILE"
  std::string_view help;
  bool required = false;
  Completes completes = Completes::kNothing;
};

struct Argument {
  std::string_view name;  // in help: "NAME"
  bool required = true;   // an optional one is the last
  Completes completes = Completes::kNothing;
};

enum class OutputFormat { kTable, kJson };

// One command as the user gave it. `Text` and `Number` are of its options, by long name.
struct Invocation {
  Client& client;
  OutputFormat format;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> options;
  std::istream& in;
  std::ostream& out;
  std::ostream& err;

  std::string Text(const std::string& option) const;  // empty when not given
  uint64_t Number(const std::string& option) const;   // 0 when not given
  std::string Word(size_t index) const;               // an argument; empty when not given
};

struct Command {
  std::string_view name;  // "apply", or with its group: "service show"
  std::string_view help;  // one line
  std::span<const Option> options;
  std::span<const Argument> arguments;
  void (*run)(Invocation& invocation);  // throws CommandError
};

}  // namespace steelyard::controlplane::cli
