// SPDX-License-Identifier: Apache-2.0
//
// Sessions coming and going through the whole pipeline, full NAT: a burst of SYNs (look up the
// service, schedule, choose a port, insert both ways), a burst of resets, and their expiry, with a
// million other sessions alive, by the number of services on one VIP's ports. Beside it the
// yardstick: one random cache line a session out of the table's memory, fetched in batches of 32.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <vector>

#include "in_memory_worker.h"

namespace steelyard::core {
namespace {

constexpr uint32_t kLiveSessions = 1'000'000;
constexpr uint64_t kMs = 1'000'000;  // nanoseconds

class Worker {
 public:
  Worker(net::Family family, uint32_t services)
      : load_{.family = family,
              .sessions = kLiveSessions + 2 * kPackets,
              .services = services,
              .backends = 10},
        snapshot_(MakeSnapshot(load_)),
        memory_(SessionTable::RequiredBytes(load_.capacity())),
        table_(memory_.span(), load_.capacity(), HashSecret()),
        pipeline_(0, table_, *state_, now_ns_) {
    while (table_.size() < kLiveSessions) {
      WriteSyns();
      Process();
      // Answered and acknowledged, they stay.
      for (uint32_t i = 0; i < kPackets; ++i) Establish(opened_ - kPackets + i);
    }
  }

  void WriteSyns() {
    for (uint32_t i = 0; i < kPackets; ++i)
      frames_.Write(i, ClientFlow(load_, opened_ + i), net::kTcpSyn);
    opened_ += kPackets;
  }
  void WriteResets() {
    for (uint32_t i = 0; i < kPackets; ++i)
      frames_.Write(i, ClientFlow(load_, opened_ - kPackets + i), net::kTcpRst);
  }
  void Process() {
    for (uint32_t burst = 0; burst < kBurstsPerRun; ++burst)
      ProcessBurst(burst * kBurstCapacity, kBurstCapacity);
  }
  // Until those that were reset are gone; how many went.
  uint32_t Expire() {
    const uint32_t before = table_.size();
    for (uint32_t round = 0; round < kBurstsPerRun; ++round)
      pipeline_.Expire(snapshot_, now_ns_, 2 * kBurstCapacity);
    return before - table_.size();
  }
  void Pass(uint64_t ns) { now_ns_ += ns; }
  std::span<const std::byte> memory() { return memory_.span(); }
  uint32_t sessions() const { return table_.size(); }

 private:
  void Establish(uint32_t number) {
    const FlowKey client = ClientFlow(load_, number);
    const FlowRef forward = table_.Find(client);
    if (forward == kNoFlow) std::abort();
    frames_.Write(0, table_.Describe(forward).rewrite.Reversed(), net::kTcpSyn | net::kTcpAck);
    frames_.Write(1, client, net::kTcpAck);
    ProcessBurst(0, 1);
    ProcessBurst(1, 1);
  }
  void ProcessBurst(uint32_t begin, uint32_t count) {
    burst_.count = count;
    for (uint32_t i = 0; i < count; ++i) burst_.packet[i] = frames_.packet(begin + i);
    pipeline_.Process(snapshot_, burst_, now_ns_);
    for (uint32_t i = 0; i < count; ++i)
      if (burst_.verdict[i] != net::Verdict::kForwarded) std::abort();
  }

  uint64_t now_ns_ = 1000 * kMs;
  const Load load_;
  const Snapshot snapshot_;
  Memory memory_;
  SessionTable table_;
  const std::unique_ptr<WorkerState> state_ = std::make_unique<WorkerState>(1);
  Pipeline pipeline_;
  Frames frames_;
  Burst burst_;
  uint32_t opened_ = 0;
};

void SetUpAndTearDown(benchmark::State& state, net::Family family) {
  Worker worker(family, static_cast<uint32_t>(state.range(0)));
  bench::RandomLines lines(worker.memory());
  const uint32_t alive = worker.sessions();
  std::vector<double> syn_ns, reset_ns, expire_ns, line_ns;
  const auto ns_of = [](auto&& work) { return bench::SecondsOf(work) * 1e9 / kPackets; };
  for (auto _ : state) {
    worker.WriteSyns();
    syn_ns.push_back(ns_of([&] { worker.Process(); }));
    worker.WriteResets();
    reset_ns.push_back(ns_of([&] { worker.Process(); }));
    line_ns.push_back(lines.NsPerLine());
    // A reset one is kept for a second; timers first look when they thought it was opening.
    for (int second = 0; second < 8 && worker.sessions() != alive; ++second) {
      worker.Pass(1000 * kMs);
      const double ns = ns_of([&] { worker.Expire(); });
      if (worker.sessions() == alive) expire_ns.push_back(ns);
    }
    if (worker.sessions() != alive) std::abort();
    state.SetIterationTime((syn_ns.back() + reset_ns.back() + expire_ns.back()) * kPackets / 1e9);
  }
  const double all_ns = bench::Median(syn_ns) + bench::Median(reset_ns) + bench::Median(expire_ns);
  state.counters["ns_syn"] = bench::Median(syn_ns);
  state.counters["ns_reset"] = bench::Median(reset_ns);
  state.counters["ns_expire"] = bench::Median(expire_ns);
  state.counters["ns_all"] = all_ns;
  state.counters["ns_per_line"] = bench::Median(line_ns);
  state.counters["ratio"] = all_ns / bench::Median(line_ns);
}
// Fewer rounds than the 350 s that established sessions stay.
void Services(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("services")->Arg(1)->Arg(5'000);
  benchmark->UseManualTime()->Iterations(40)->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(SetUpAndTearDown, ipv4, net::Family::kIpv4)->Apply(Services);
BENCHMARK_CAPTURE(SetUpAndTearDown, ipv6, net::Family::kIpv6)->Apply(Services);

}  // namespace
}  // namespace steelyard::core

BENCHMARK_MAIN();
