// SPDX-License-Identifier: Apache-2.0
//
// The pipeline in memory (in_memory_worker.h), by forwarding mode, family and sessions; of full NAT
// also with flows of unlike weight, with Maglev and with many backends or services. Beside it the
// yardstick: one random cache line a packet out of as much memory, fetched in batches of 32.
// What counts is the ratio of the two; the bare figures are the machine's.
#include <benchmark/benchmark.h>

#include <vector>

#include "in_memory_worker.h"

namespace steelyard::core {
namespace {

void SteadyState(benchmark::State& state, Load load) {
  load.sessions = static_cast<uint32_t>(state.range(0));
  InMemoryWorker worker(load);
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
constexpr net::Family kIpv4 = net::Family::kIpv4, kIpv6 = net::Family::kIpv6;
void Sessions(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(1'000)->Arg(1'000'000)->UseManualTime()->Unit(benchmark::kMicrosecond);
}
Load Of(const ForwardingMode& mode, net::Family family) {
  return {.mode = &mode, .family = family};
}
BENCHMARK_CAPTURE(SteadyState, full_nat_ipv4, Of(FullNat(), kIpv4))
    ->Apply(Sessions)
    ->Arg(10'000'000);
BENCHMARK_CAPTURE(SteadyState, full_nat_ipv6, Of(FullNat(), kIpv6))->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, dnat_ipv4, Of(Dnat(), kIpv4))->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, dnat_ipv6, Of(Dnat(), kIpv6))->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, tunnel_ipv4, Of(Tunnel(), kIpv4))->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, tunnel_ipv6, Of(Tunnel(), kIpv6))->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, direct_ipv4, Of(Direct(), kIpv4))->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, direct_ipv6, Of(Direct(), kIpv6))->Apply(Sessions);

BENCHMARK_CAPTURE(SteadyState, full_nat_ipv4_zipf, Load{.zipf = true})->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, full_nat_ipv4_maglev_10,
                  Load{.backends = 10, .scheduler = MakeMaglev})
    ->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, full_nat_ipv4_maglev_1000,
                  Load{.backends = 1000, .scheduler = MakeMaglev})
    ->Apply(Sessions);
BENCHMARK_CAPTURE(SteadyState, full_nat_ipv4_10000_services,
                  Load{.services = 10'000, .backends = 10})
    ->Apply(Sessions);

}  // namespace
}  // namespace steelyard::core

BENCHMARK_MAIN();
