// SPDX-License-Identifier: Apache-2.0
//
// Every command of steelyardctl. To add one: its function in the file of its group
// (<group>_commands.cc, declared in commands.h), and one row in command_table.cc. Help, errors,
// suggestions and bash completion follow from the row.
#pragma once

#include <span>

#include "controlplane/cli/command.h"

namespace steelyard::controlplane::cli {

std::span<const Command> Commands();
std::span<const Option> GlobalOptions();

// The first word of a command that has two, and what its commands have in common.
struct Group {
  std::string_view name;
  std::string_view help;
};
std::span<const Group> Groups();

}  // namespace steelyard::controlplane::cli
