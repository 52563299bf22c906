// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/command.h"

#include "controlplane/cli/arguments.h"

namespace steelyard::controlplane::cli {

std::string Invocation::Text(const std::string& option) const {
  const auto found = options.find(option);
  return found == options.end() ? "" : found->second;
}

uint64_t Invocation::Number(const std::string& option) const {
  const auto found = options.find(option);
  return found == options.end() ? 0 : ParseNumber("--" + option, found->second);
}

std::string Invocation::Word(size_t index) const {
  return index < arguments.size() ? arguments[index] : "";
}

}  // namespace steelyard::controlplane::cli
