// SPDX-License-Identifier: Apache-2.0
//
// Checksums of data in the cache: in full, beside copying as many bytes; and by difference, as a
// rewrite of both endpoints changes them, beside summing the shortest segment in full.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "../measure.h"
#include "net/checksum.h"
#include "net/wire.h"

namespace steelyard::net {
namespace {

constexpr uint32_t kRounds = 2048;

void Fill(std::vector<uint8_t>& bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + 1);
}

double NsOf(auto&& once) {
  const double seconds = bench::SecondsOf([&] {
    for (uint32_t round = 0; round < kRounds; ++round) once();
  });
  return seconds * 1e9 / kRounds;
}

void Compare(benchmark::State& state, const char* yardstick, auto&& work, auto&& beside) {
  std::vector<double> work_ns, beside_ns;
  for (auto _ : state) {
    work_ns.push_back(NsOf(work));
    beside_ns.push_back(NsOf(beside));
    state.SetIterationTime(work_ns.back() * kRounds / 1e9);
  }
  state.counters["ns_per_checksum"] = bench::Median(work_ns);
  state.counters[yardstick] = bench::Median(beside_ns);
  state.counters["ratio"] = bench::Median(work_ns) / bench::Median(beside_ns);
}

void InFull(benchmark::State& state) {
  std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0))), copy(bytes.size());
  Fill(bytes);
  Compare(
      state, "ns_per_copy",
      [&] {
        benchmark::DoNotOptimize(ChecksumOf(SumBytes(bytes.data(), bytes.size())));
        benchmark::ClobberMemory();
      },
      [&] {
        std::memcpy(copy.data(), bytes.data(), bytes.size());
        benchmark::ClobberMemory();
      });
}
BENCHMARK(InFull)->ArgName("bytes")->Arg(20)->Arg(64)->Arg(576)->Arg(1460)->UseManualTime()->Unit(
    benchmark::kMicrosecond);

// From scratch, as where a session opens; established ones keep the addresses' part.
void ByDifference(benchmark::State& state, Family family) {
  const auto endpoint = [&](uint32_t number) -> Endpoint {
    Ipv6Address v6{};
    v6.bytes[0] = 0xfd;
    v6.bytes[15] = static_cast<uint8_t>(number);
    const Be16 port(static_cast<uint16_t>(1000 + number));
    return family == Family::kIpv4 ? Endpoint{Ipv4Address{Be32(0x0a000000 + number)}, port}
                                   : Endpoint{v6, port};
  };
  Endpoint before[2] = {endpoint(1), endpoint(2)}, after[2] = {endpoint(3), endpoint(4)};
  Be16 checksum(0x1234);
  std::vector<uint8_t> segment(sizeof(TcpHeader));
  Fill(segment);
  Compare(
      state, "ns_in_full",
      [&] {
        benchmark::DoNotOptimize(before);
        benchmark::DoNotOptimize(after);
        ChecksumDelta delta;
        for (int i = 0; i < 2; ++i)
          delta.Replace(before[i].address, after[i].address).Replace(before[i].port, after[i].port);
        checksum = delta.ApplyTo(checksum);
      },
      [&] {
        benchmark::DoNotOptimize(ChecksumOf(SumBytes(segment.data(), segment.size())));
        benchmark::ClobberMemory();
      });
  benchmark::DoNotOptimize(checksum);
}
BENCHMARK_CAPTURE(ByDifference, ipv4, Family::kIpv4)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ByDifference, ipv6, Family::kIpv6)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace steelyard::net

BENCHMARK_MAIN();
