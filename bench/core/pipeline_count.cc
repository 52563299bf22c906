// SPDX-License-Identifier: Apache-2.0
//
// pipeline_count SESSIONS RUNS: the pipeline in memory for a tool that counts instead of timing
// (valgrind --tool=callgrind --collect-atstart=no): only the packets of established sessions are
// counted. Prints how many there were, and "unoptimized" where counts mean nothing. See
// test/budget.
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
  uint32_t sessions, runs;
  if (argc != 3 || !ReadNumber(argv[1], sessions) || !ReadNumber(argv[2], runs)) {
    std::fprintf(stderr, "usage: pipeline_count SESSIONS RUNS\n");
    return 2;
  }
#ifndef __OPTIMIZE__
  std::puts("unoptimized");
#endif
  InMemoryWorker worker({.sessions = sessions});
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
