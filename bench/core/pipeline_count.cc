// SPDX-License-Identifier: Apache-2.0
//
// pipeline_count MODE FAMILY SESSIONS RUNS (full_nat 4 1000 20): the pipeline in memory for a tool
// that counts instead of timing (valgrind --tool=callgrind --collect-atstart=no): only the packets
// of established sessions are counted. Prints how many there were, and "unoptimized" where counts
// mean nothing. See test/budget.
#include <valgrind/callgrind.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "in_memory_worker.h"

namespace steelyard::core {
namespace {

bool ReadNumber(const char* text, uint32_t& number) {
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, number);
  return error == std::errc{} && stop == end && number != 0;
}

int Main(int argc, char** argv) {
  const ForwardingMode* const mode = argc == 5 ? FindForwardingMode(argv[1]) : nullptr;
  uint32_t family, sessions, runs;
  if (mode == nullptr || !ReadNumber(argv[2], family) || (family != 4 && family != 6) ||
      !ReadNumber(argv[3], sessions) || !ReadNumber(argv[4], runs)) {
    std::fprintf(stderr, "usage: pipeline_count MODE FAMILY SESSIONS RUNS\n");
    return 2;
  }
#ifndef __OPTIMIZE__
  std::puts("unoptimized");
#endif
  InMemoryWorker worker({.mode = mode,
                         .family = family == 4 ? net::Family::kIpv4 : net::Family::kIpv6,
                         .sessions = sessions});
  for (uint32_t run = 0; run < runs; ++run) {
    worker.WriteRandomFrames();
    CALLGRIND_TOGGLE_COLLECT;
    worker.Process();
    CALLGRIND_TOGGLE_COLLECT;
  }
  std::printf("%u packets\n", runs * kPackets);
  return 0;
}

}  // namespace
}  // namespace steelyard::core

int main(int argc, char** argv) {
  return steelyard::core::Main(argc, argv);
}
