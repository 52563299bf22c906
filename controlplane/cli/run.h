// SPDX-License-Identifier: Apache-2.0
//
// steelyardctl as a function: main() without the process, so that tests can call it.
#pragma once

#include <istream>
#include <ostream>
#include <string>
#include <vector>

namespace steelyard::controlplane::cli {

struct Console {
  std::istream& in;
  std::ostream& out;  // what was asked for
  std::ostream& err;  // what went wrong
};

// `words` without the program's name; `default_socket` is used without --socket. Returns the exit
// status, see errors.h. Throws nothing.
int RunSteelyardctl(const std::vector<std::string>& words, const std::string& default_socket,
                    const Console& console);

}  // namespace steelyard::controlplane::cli
