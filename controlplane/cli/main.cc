// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <iostream>

#include "controlplane/cli/run.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const char* socket = std::getenv("STEELYARD_SOCKET");
  return steelyard::controlplane::cli::RunSteelyardctl(
      {argv + 1, argv + argc}, socket != nullptr ? socket : "/run/steelyard/controlplane.sock",
      {std::cin, std::cout, std::cerr});
}
