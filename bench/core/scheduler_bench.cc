// SPDX-License-Identifier: Apache-2.0
//
// Choosing a backend, by scheduler and number of backends, and making the scheduler, as for every
// change of a service. Flows differ; each backend has some sessions. Beside each choice the
// yardstick: one random line a choice out of the backends' counters, fetched in batches of 32.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "in_memory_worker.h"

namespace steelyard::core {
namespace {

constexpr uint32_t kChoices = bench::RandomLines::kCount;

// Of different weights.
std::vector<Backend> MakeBackends(uint32_t count) {
  std::vector<Backend> backends;
  for (uint32_t i = 0; i < count; ++i)
    backends.push_back(
        {.endpoint = {AddressOf(net::Family::kIpv4, kServers, kBackend + i), Be16(80)},
         .weight = 1 + i % 3,
         .available = true,
         .keeps_sessions = true,
         .slot = i});
  return backends;
}

std::vector<FlowKey> MakeFlows() {
  std::vector<FlowKey> flows;
  for (uint32_t i = 0; i < kChoices; ++i)
    flows.push_back({{AddressOf(net::Family::kIpv4, kClients, i * 2654435761u >> 8),
                      Be16(static_cast<uint16_t>(1024 + i))},
                     {AddressOf(net::Family::kIpv4, kServers, kVip), Be16(80)},
                     net::L4Protocol::kTcp});
  return flows;
}

void Choose(benchmark::State& state, const SchedulerKind& kind) {
  const std::vector<Backend> backends = MakeBackends(static_cast<uint32_t>(state.range(0)));
  const auto scheduler = kind.make(backends);
  const std::vector<FlowKey> flows = MakeFlows();
  std::vector<BackendCounters> counters(backends.size());
  std::mt19937 random(1);
  for (BackendCounters& of_backend : counters) of_backend.sessions_created.Add(random() % 100);
  const std::vector<SessionShare> shares(backends.size());
  bench::RandomLines lines(std::as_bytes(std::span(counters)));
  uint32_t cursor = 0;
  std::vector<double> choice_ns, line_ns;
  for (auto _ : state) {
    const double seconds = bench::SecondsOf([&] {
      for (const FlowKey& flow : flows) {
        const uint32_t chosen = scheduler->Choose({flow, backends, counters, shares, cursor});
        counters[chosen].sessions_created.Add(1);
      }
    });
    state.SetIterationTime(seconds);
    choice_ns.push_back(seconds * 1e9 / kChoices);
    line_ns.push_back(lines.NsPerLine());
  }
  state.counters["ns_per_choice"] = bench::Median(choice_ns);
  state.counters["ns_per_line"] = bench::Median(line_ns);
  state.counters["ratio"] = bench::Median(choice_ns) / bench::Median(line_ns);
}

void Make(benchmark::State& state, const SchedulerKind& kind) {
  const std::vector<Backend> backends = MakeBackends(static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(kind.make(backends));
}

void RegisterAll() {
  for (const SchedulerKind& kind : SchedulerKinds()) {
    const std::string name(kind.name);
    benchmark::RegisterBenchmark(("choose/" + name).c_str(),
                                 [&](benchmark::State& state) { Choose(state, kind); })
        ->Arg(10)
        ->Arg(1000)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark(("make/" + name).c_str(),
                                 [&](benchmark::State& state) { Make(state, kind); })
        ->Arg(10)
        ->Arg(1000)
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace
}  // namespace steelyard::core

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  steelyard::core::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
}
