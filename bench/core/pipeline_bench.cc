// SPDX-License-Identifier: Apache-2.0
//
// The pipeline in memory (in_memory_worker.h), by forwarding mode, family and sessions. Beside it
// the yardstick: one random cache line a packet out of as much memory, fetched in batches of 32.
// What counts is the ratio of the two; the bare figures are the machine's.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "in_memory_worker.h"

namespace steelyard::core {
namespace {

// Of this thread's own time: others on the machine only count by what they do to its caches.
double SecondsOf(auto&& work) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  const double start = now();
  work();
  return now() - start;
}

double MedianNsPerPacket(std::vector<double>& seconds) {
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<long>(seconds.size() / 2),
                   seconds.end());
  return seconds[seconds.size() / 2] * 1e9 / kPackets;
}

// One random line a packet of that much memory, in batches of 32.
class Yardstick {
 public:
  explicit Yardstick(size_t bytes) : memory_(bytes) {}
  void Draw() {
    for (uint32_t& line : lines_)
      line = static_cast<uint32_t>(random_() % (memory_.span().size() / 64));
  }
  uint64_t Process() {
    uint64_t sum = 0;
    for (uint32_t begin = 0; begin < kPackets; begin += kBurstCapacity) {
      for (uint32_t i = begin; i < begin + kBurstCapacity; ++i)
        __builtin_prefetch(&memory_.span()[size_t{lines_[i]} * 64]);
      for (uint32_t i = begin; i < begin + kBurstCapacity; ++i)
        sum += static_cast<uint64_t>(memory_.span()[size_t{lines_[i]} * 64]);
    }
    return sum;
  }

 private:
  Memory memory_;
  std::array<uint32_t, kPackets> lines_;
  std::mt19937_64 random_{2};
};

void SteadyState(benchmark::State& state, const ForwardingMode& mode, net::Family family) {
  InMemoryWorker worker(
      {.mode = &mode, .family = family, .sessions = static_cast<uint32_t>(state.range(0))});
  Yardstick yardstick(worker.bytes());
  std::vector<double> pipeline_seconds, yardstick_seconds;
  for (auto _ : state) {
    worker.WriteRandomFrames();
    pipeline_seconds.push_back(SecondsOf([&] { worker.Process(); }));
    state.SetIterationTime(pipeline_seconds.back());
    yardstick.Draw();
    yardstick_seconds.push_back(SecondsOf([&] { benchmark::DoNotOptimize(yardstick.Process()); }));
  }
  const double pipeline_ns = MedianNsPerPacket(pipeline_seconds);
  const double yardstick_ns = MedianNsPerPacket(yardstick_seconds);
  state.counters["ns_per_packet"] = pipeline_ns;
  state.counters["ns_per_line"] = yardstick_ns;
  state.counters["ratio"] = pipeline_ns / yardstick_ns;
}
void Sessions(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(1'000)->Arg(1'000'000)->UseManualTime()->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(SteadyState, full_nat_ipv4, FullNat(), net::Family::kIpv4)
    ->Apply(Sessions)
    ->Arg(10'000'000);
BENCHMARK_CAPTURE(SteadyState, full_nat_ipv6, FullNat(), net::Family::kIpv6)->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, dnat_ipv4, Dnat(), net::Family::kIpv4)->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, dnat_ipv6, Dnat(), net::Family::kIpv6)->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, tunnel_ipv4, Tunnel(), net::Family::kIpv4)->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, tunnel_ipv6, Tunnel(), net::Family::kIpv6)->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, direct_ipv4, Direct(), net::Family::kIpv4)->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, direct_ipv6, Direct(), net::Family::kIpv6)->Apply(Sessions);

}  // namespace
}  // namespace steelyard::core

BENCHMARK_MAIN();
