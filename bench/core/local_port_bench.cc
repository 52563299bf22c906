// SPDX-License-Identifier: Apache-2.0
//
// Choice of a local port towards one backend, by how many of the ports are taken. Beside it the
// same choice towards a backend that only 1% are taken towards, out of the same table and by turns:
// what counts is the ratio of the two.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <vector>

#include "core/forward/local_port.h"
#include "in_memory_worker.h"

namespace steelyard::core {
namespace {

using net::Endpoint;

constexpr uint32_t kPorts = 65536 - kFirstLocalPort;
constexpr uint32_t kLocalAddresses = 8;  // so that the table is larger than the caches
constexpr uint32_t kChoices = 2048;

class Box {
 public:
  explicit Box(net::Family family)
      : family_(family),
        capacity_{family == net::Family::kIpv4 ? kMostSessions : 1,
                  family == net::Family::kIpv4 ? 1 : kMostSessions},
        memory_(SessionTable::RequiredBytes(capacity_)),
        table_(memory_.span(), capacity_, HashSecret{}) {
    for (uint32_t i = 0; i < kLocalAddresses; ++i)
      local_addresses_.push_back(AddressOf(family, kServers, kLocal + i));
  }

  Endpoint Backend(uint32_t number) const {
    return {AddressOf(family_, kServers, kBackend + number), net::Be16(80)};
  }

  // Sessions as full NAT opens them, until that share of all local ports is taken.
  void Occupy(const Endpoint& backend, uint32_t percent) {
    const uint32_t sessions = kPorts * kLocalAddresses / 100 * percent;
    for (uint32_t i = 0; i < sessions; ++i) {
      const auto local = Choose(backend);
      if (!local) continue;
      const net::FlowKey front({AddressOf(family_, kClients, opened_), net::Be16(1024)},
                               {AddressOf(family_, kServers, kVip), net::Be16(80)},
                               net::L4Protocol::kTcp);
      ++opened_;
      const net::FlowKey back(*local, backend, net::L4Protocol::kTcp);
      if (table_.Insert({front, back}, {back.Reversed(), front.Reversed()}) == kNoSession)
        std::abort();
    }
  }

  // A search that found none is not remembered: the next one is measured, too.
  std::optional<Endpoint> Choose(const Endpoint& backend) {
    now_ms_ += ExhaustedRemotes::kRememberedMs + 1;
    const PacketContext context{.snapshot = snapshot_,
                                .sessions = table_,
                                .worker = *worker_,
                                .in_port = 0,
                                .now_ns = 0,
                                .now_ms = now_ms_,
                                .home_bucket = home_bucket_++ % kSteeringBuckets};
    return ChooseLocalEndpoint(context, service_,
                               {.local_addresses = local_addresses_,
                                .remote = backend,
                                .protocol = net::L4Protocol::kTcp,
                                .paired_with = {}});
  }

  double NsPerChoice(const Endpoint& backend) {
    const double seconds = bench::SecondsOf([&] {
      for (uint32_t i = 0; i < kChoices; ++i) benchmark::DoNotOptimize(Choose(backend));
    });
    return seconds * 1e9 / kChoices;
  }

  const ServiceCounters& counters() const { return worker_->services[0]; }

 private:
  static constexpr uint32_t kMostSessions = 2 * kPorts * kLocalAddresses;
  const net::Family family_;
  const SessionCapacity capacity_;
  bench::Memory memory_;
  SessionTable table_;
  const std::unique_ptr<WorkerState> worker_ = std::make_unique<WorkerState>(1);
  const Snapshot snapshot_;
  const Service service_;
  std::vector<net::IpAddress> local_addresses_;
  uint32_t opened_ = 0;
  uint32_t now_ms_ = 0;
  uint32_t home_bucket_ = 0;
};

void ChoosePort(benchmark::State& state, net::Family family) {
  Box box(family);
  const Endpoint crowded = box.Backend(0), idle = box.Backend(1);
  box.Occupy(crowded, static_cast<uint32_t>(state.range(0)));
  box.Occupy(idle, 1);
  std::vector<double> crowded_ns, idle_ns;
  uint64_t probes = 0, refused = box.counters().local_ports_exhausted_packets.value();
  for (auto _ : state) {
    const uint64_t before = box.counters().local_port_probes.value();
    crowded_ns.push_back(box.NsPerChoice(crowded));
    probes += box.counters().local_port_probes.value() - before;
    idle_ns.push_back(box.NsPerChoice(idle));
    state.SetIterationTime(crowded_ns.back() * kChoices / 1e9);
  }
  refused = box.counters().local_ports_exhausted_packets.value() - refused;
  const auto choices = static_cast<double>(kChoices * crowded_ns.size());
  state.counters["probes"] = static_cast<double>(probes) / choices;
  state.counters["refused"] = static_cast<double>(refused) / choices;
  state.counters["ns_per_choice"] = bench::Median(crowded_ns);
  state.counters["ns_at_1_percent"] = bench::Median(idle_ns);
  state.counters["ratio"] = bench::Median(crowded_ns) / bench::Median(idle_ns);
}
void Occupancies(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("percent")->Arg(1)->Arg(50)->Arg(90)->Arg(99);
  benchmark->UseManualTime()->Iterations(500)->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(ChoosePort, ipv4, net::Family::kIpv4)->Apply(Occupancies);
BENCHMARK_CAPTURE(ChoosePort, ipv6, net::Family::kIpv6)->Apply(Occupancies);

}  // namespace
}  // namespace steelyard::core

BENCHMARK_MAIN();
