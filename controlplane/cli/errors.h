// SPDX-License-Identifier: Apache-2.0
//
// How a command fails: it throws one of these, and the program prints the sentence on stderr and
// exits with the code.
#pragma once

#include <stdexcept>
#include <string>

namespace steelyard::controlplane::cli {

enum ExitCode : int {
  kOk = 0,
  kError = 1,
  kUsage = 2,     // the command line makes no sense
  kNotFound = 3,  // a name that does not exist
  kConflict = 4,  // another generation is in force than the expected one
};

class CommandError : public std::runtime_error {
 public:
  CommandError(ExitCode exit_code, const std::string& sentence)
      : std::runtime_error(sentence), exit_code_(exit_code) {}
  ExitCode exit_code() const { return exit_code_; }

 private:
  ExitCode exit_code_;
};

class UsageError : public CommandError {
 public:
  explicit UsageError(const std::string& sentence) : CommandError(kUsage, sentence) {}
};

}  // namespace steelyard::controlplane::cli
