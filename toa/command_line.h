// SPDX-License-Identifier: Apache-2.0
//
// What a person may say to steelyard-toa, checked whole. Pure: no system call, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/result.h"

namespace steelyard::toa {

struct CommandLine {
  bool wants_help = false;  // either of these: the rest is not checked
  bool wants_version = false;
  std::string cgroup_path;
  std::vector<net::Prefix> local_addresses;  // never empty, no duplicates
  uint8_t kind = 254;
};

// The error is a sentence that names the option and its value.
net::Result<CommandLine> ParseCommandLine(int argc, const char* const* argv);

std::string HelpText();

}  // namespace steelyard::toa
