// SPDX-License-Identifier: Apache-2.0
//
// The pipeline in memory (in_memory_worker.h), by forwarding mode, family and sessions. Beside it
// the yardstick: one random cache line a packet out of as much memory, fetched in batches of 32.
// What counts is the ratio of the two; the bare figures are the machine's.
#include <benchmark/benchmark.h>

#include <vector>

#include "in_memory_worker.h"

namespace steelyard::core {
namespace {

void SteadyState(benchmark::State& state, const ForwardingMode& mode, net::Family family) {
  InMemoryWorker worker(
      {.mode = &mode, .family = family, .sessions = static_cast<uint32_t>(state.range(0))});
  Memory memory(worker.bytes());
  bench::RandomLines lines(memory.span());
  std::vector<double> packet_ns, line_ns;
  for (auto _ : state) {
    worker.WriteRandomFrames();
    const double seconds = bench::SecondsOf([&] { worker.Process(); });
    state.SetIterationTime(seconds);
    packet_ns.push_back(seconds * 1e9 / kPackets);
    line_ns.push_back(lines.NsPerLine());
  }
  state.counters["ns_per_packet"] = bench::Median(packet_ns);
  state.counters["ns_per_line"] = bench::Median(line_ns);
  state.counters["ratio"] = bench::Median(packet_ns) / bench::Median(line_ns);
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
