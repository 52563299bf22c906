// SPDX-License-Identifier: Apache-2.0
//
// From a request to the snapshot that a polling worker has: 10,000 services of 10 backends, applied
// whole to a dataplane that has none, and then one backend's weight changed; without reading the
// request from its socket. The main thread's own time is what the bar is compared with: how long it
// all took (elapsed_ms) depends on who else has the processors.
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "../measure.h"
#include "control/configuration.h"
#include "worker/snapshot_publisher.h"

namespace steelyard::control {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kServices = 10'000;
constexpr int kBackends = 10;
constexpr double kWholeBarMs = 5000, kOneWeightBarMs = 10;

std::string Address(int network, int number) {
  return "10." + std::to_string(network) + "." + std::to_string(number / 250) + "." +
         std::to_string(1 + number % 250);
}

v1::Service MakeService(int number, v1::Scheduler scheduler) {
  v1::Service service;
  service.set_name("service-" + std::to_string(number));
  service.set_address(Address(1, number));
  service.set_port(443);
  service.set_protocol(v1::PROTOCOL_TCP);
  service.set_mode(v1::FORWARDING_MODE_FULL_NAT);
  service.set_scheduler(scheduler);
  service.add_local_addresses(Address(2, 0));
  service.mutable_client_address()->set_carrier(v1::ClientAddress::CARRIER_TOA);
  service.mutable_client_address()->set_toa_kind(254);
  v1::Timeouts& timeouts = *service.mutable_timeouts();
  timeouts.set_tcp_syn_sent_ms(5'000);
  timeouts.set_tcp_syn_received_ms(10'000);
  timeouts.set_tcp_established_ms(350'000);
  timeouts.set_tcp_closing_ms(60'000);
  timeouts.set_tcp_time_wait_ms(5'000);
  timeouts.set_tcp_closed_ms(1'000);
  timeouts.set_udp_ms(30'000);
  for (int i = 0; i < kBackends; ++i) {
    v1::Backend& backend = *service.add_backends();
    backend.set_address(Address(3 + i, number));
    backend.set_port(8443);
    backend.set_weight(static_cast<uint32_t>(1 + i % 3));
    backend.set_admin_state(v1::ADMIN_STATE_ENABLED);
  }
  return service;
}

v1::ApplyServicesRequest WholeRequest(v1::Scheduler scheduler) {
  v1::ApplyServicesRequest request;
  request.set_generation(1);
  request.set_replace(true);
  for (int i = 0; i < kServices; ++i) *request.add_services() = MakeService(i, scheduler);
  return request;
}

// A dataplane's configuration, with one worker that polls for snapshots and does nothing else.
class Dataplane {
 public:
  Dataplane()
      : configuration_(First(), {&state_}),
        snapshots_(std::make_unique<core::Snapshot>(First()), 1),
        worker_([this] {
          while (!stops_.load(std::memory_order_relaxed)) snapshots_.Pin(0);
          snapshots_.Leave(0);
        }) {}
  ~Dataplane() {
    stops_ = true;
    worker_.join();
  }

  struct Taken {
    std::vector<double> elapsed_ms, cpu_ms;
  };
  // Until the worker has it.
  void Apply(const v1::ApplyServicesRequest& request, Taken& taken) {
    const auto start = SteadyClock::now();
    const double cpu_seconds = bench::SecondsOf([&] {
      if (!snapshots_.Publish(configuration_.Apply(request), std::chrono::seconds(10)).complete)
        std::abort();
    });
    const std::chrono::duration<double, std::milli> elapsed = SteadyClock::now() - start;
    taken.elapsed_ms.push_back(elapsed.count());
    taken.cpu_ms.push_back(cpu_seconds * 1000);
  }
  uint64_t generation() const { return configuration_.generation(); }

 private:
  static core::Snapshot First() {
    return core::EmptySnapshot(std::vector<core::PortInfo>(2), core::SteeringOfOneWorker(), 0);
  }
  core::WorkerState state_{1};
  Configuration configuration_;
  worker::SnapshotPublisher snapshots_;
  std::atomic<bool> stops_ = false;
  std::thread worker_;
};

void Report(benchmark::State& state, const Dataplane::Taken& taken, double bar_ms) {
  state.counters["elapsed_ms"] = bench::Median(taken.elapsed_ms);
  state.counters["cpu_ms"] = bench::Median(taken.cpu_ms);
  state.counters["of_bar"] = bench::Median(taken.cpu_ms) / bar_ms;
}

void ApplyWhole(benchmark::State& state, v1::Scheduler scheduler) {
  const v1::ApplyServicesRequest request = WholeRequest(scheduler);
  Dataplane::Taken taken;
  for (auto _ : state) {
    Dataplane dataplane;
    dataplane.Apply(request, taken);
    state.SetIterationTime(taken.cpu_ms.back() / 1000);
  }
  Report(state, taken, kWholeBarMs);
}

void ChangeOneWeight(benchmark::State& state, v1::Scheduler scheduler) {
  Dataplane dataplane;
  Dataplane::Taken first, taken;
  dataplane.Apply(WholeRequest(scheduler), first);
  int round = 0;
  for (auto _ : state) {
    v1::ApplyServicesRequest request;
    request.set_base_generation(dataplane.generation());
    request.set_generation(dataplane.generation() + 1);
    v1::Service& service = *request.add_services();
    service = MakeService(round * 7919 % kServices, scheduler);
    service.mutable_backends(round % kBackends)->set_weight(50);
    dataplane.Apply(request, taken);
    state.SetIterationTime(taken.cpu_ms.back() / 1000);
    ++round;
  }
  Report(state, taken, kOneWeightBarMs);
}

void Times(benchmark::internal::Benchmark* benchmark, int iterations) {
  benchmark->UseManualTime()->Iterations(iterations)->Unit(benchmark::kMillisecond);
}
void AFew(benchmark::internal::Benchmark* benchmark) {
  Times(benchmark, 3);
}
void Often(benchmark::internal::Benchmark* benchmark) {
  Times(benchmark, 100);
}
BENCHMARK_CAPTURE(ApplyWhole, weighted_round_robin, v1::SCHEDULER_WEIGHTED_ROUND_ROBIN)
    ->Apply(AFew);
BENCHMARK_CAPTURE(ApplyWhole, maglev, v1::SCHEDULER_MAGLEV)->Apply(AFew);
BENCHMARK_CAPTURE(ChangeOneWeight, weighted_round_robin, v1::SCHEDULER_WEIGHTED_ROUND_ROBIN)
    ->Apply(Often);
BENCHMARK_CAPTURE(ChangeOneWeight, maglev, v1::SCHEDULER_MAGLEV)->Apply(Often);

}  // namespace
}  // namespace steelyard::control

BENCHMARK_MAIN();
