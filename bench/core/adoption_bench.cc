// SPDX-License-Identifier: Apache-2.0
//
// Adoption of a table's sessions after a restart (core/session_adoption.h): full NAT, IPv4, in a
// table that they fill. In huge pages, and in the plain pages of a file in /dev/shm, as a new
// process maps it; and all that a process does when it finds the sessions of one worker and has
// two, or the other way round. Beside it two yardsticks over the same memory: reading all of it
// once in order, and two random cache lines a session out of the buckets, fetched in batches of 32.
// The sum of both is what adoption cannot do without; what counts is the ratio.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "../measure.h"
#include "core/forward/forwarding_mode.h"
#include "core/session_adoption.h"
#include "core/steering.h"

namespace steelyard::core {
namespace {

using bench::CpuSeconds;
using net::Be16;
using net::Be32;
using net::FlowKey;

constexpr uint32_t kNowMs = 5'000'000;
constexpr size_t kHugePageBytes = 2 << 20;

KnownSlots AllKnown() {
  return {{true}, std::vector<bool>(64, true)};
}

class Memory {
 public:
  Memory(size_t bytes, bool in_file) : bytes_(bytes) {
    std::string name = "/dev/shm/steelyard-bench-XXXXXX";
    const int fd = in_file ? mkstemp(name.data()) : -1;
    if (in_file) {
      unlink(name.c_str());
      if (posix_fallocate(fd, 0, static_cast<off_t>(bytes)) != 0) std::abort();
    }
    const int flags = in_file ? MAP_SHARED | MAP_POPULATE : MAP_PRIVATE | MAP_ANONYMOUS;
    base_ = mmap(nullptr, bytes + kHugePageBytes * !in_file, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (base_ == MAP_FAILED) std::abort();
    if (in_file) close(fd);
    auto at = reinterpret_cast<uintptr_t>(base_);
    if (!in_file) at = (at + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
    data_ = reinterpret_cast<std::byte*>(at);
    if (!in_file) madvise(data_, bytes, MADV_HUGEPAGE);
  }
  ~Memory() { munmap(base_, bytes_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::span<std::byte> span() const { return {data_, bytes_}; }

 private:
  size_t bytes_;
  void* base_;
  std::byte* data_;
};

struct Left {
  Left(uint32_t count, bool in_file)
      : capacity{count, 0},
        memory(SessionTable::RequiredBytes(capacity), in_file),
        table(memory.span(), capacity, HashSecret{}) {
    const auto host = [](uint32_t bits, uint32_t port) -> net::Endpoint {
      return {net::Ipv4Address{Be32(bits)}, Be16(static_cast<uint16_t>(port))};
    };
    for (uint32_t i = 0; i < count; ++i) {
      const FlowKey front(host(0xc6120000 + i / 50'000, 1024 + i % 50'000), host(0x0a00010a, 80),
                          net::L4Protocol::kTcp);
      const FlowKey back(host(0x0a000264 + i / 50'000, 1024 + i % 50'000),
                         host(0x0a00030b + i % 64, 8080), net::L4Protocol::kTcp);
      const SessionId session = table.Insert({front, back}, {back.Reversed(), front.Reversed()});
      if (session == kNoSession) std::abort();
      for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
        FlowState& state = table.state(RefOf(session, direction));
        state.backend_slot = i % 64;
        state.forwarding_mode = FullNat().index();
        state.tcp_state = TcpState::kEstablished;
        state.last_seen_ms = kNowMs - 1000;
      }
      table.record(session).home_bucket = static_cast<uint8_t>(steering->BucketOf(front));
      table.Complete(session);
    }
  }

  SessionCapacity capacity;
  Memory memory;
  SessionTable table;
  const std::shared_ptr<const Steering> steering = SteeringOfOneWorker();
};

void BM_Adopt(benchmark::State& state, bool in_file) {
  const auto count = static_cast<uint32_t>(state.range(0));
  const Left left(count, in_file);
  const KnownSlots known = AllKnown();
  const auto worker = std::make_unique<WorkerState>(1);
  for ([[maybe_unused]] auto _ : state) {
    SessionTable table(left.memory.span(), left.capacity, HashSecret{});
    AdoptInPlace(table, known, 0, kNowMs);
    if (FinishAdoption(table, *worker, kNowMs).sessions != count) std::abort();
  }
  state.counters["ns_per_session"] = benchmark::Counter(
      count, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

// The memory of two workers, the first of which has all sessions.
class TwoWorkers {
 public:
  TwoWorkers(uint32_t count, bool in_file)
      : first_(count, in_file), second_(first_.memory.span().size(), in_file) {
    SessionTable(second_.span(), first_.capacity, HashSecret{});
  }

  // As a new process with so many workers takes over what is there; its seconds on
  // a CPU, page faults included.
  double Adopt(uint32_t workers) {
    const Steering steering(workers);
    SessionTable tables[] = {{first_.memory.span(), first_.capacity, HashSecret{}},
                             {second_.span(), first_.capacity, HashSecret{}}};
    SessionTable* const homes[] = {&tables[0], &tables[1]};
    const std::span<SessionTable* const> of_workers(homes, workers);
    AdoptionReport report;
    const double start = CpuSeconds();
    for (SessionTable& table : tables) AdoptInPlace(table, AllKnown(), 0, kNowMs);
    for (SessionTable& table : tables) report.Add(MoveHome(table, of_workers, steering));
    LeaveRedirects(of_workers, steering, kNowMs);
    for (SessionTable* const table : of_workers)
      report.Add(FinishAdoption(*table, *worker_, kNowMs));
    const double taken = CpuSeconds() - start;
    if (report.sessions != first_.capacity.narrow || report.unplaced != 0) std::abort();
    moved_ = report.moved;
    return taken;
  }

  uint64_t moved() const { return moved_; }  // by the last adoption

 private:
  const Left first_;
  const Memory second_;
  const std::unique_ptr<WorkerState> worker_ = std::make_unique<WorkerState>(1);
  uint64_t moved_ = 0;
};

void BM_AdoptByOthers(benchmark::State& state, bool in_file, uint32_t workers) {
  const auto count = static_cast<uint32_t>(state.range(0));
  TwoWorkers memory(count, in_file);
  if (workers == 1) memory.Adopt(2);
  for ([[maybe_unused]] auto _ : state) {
    state.SetIterationTime(memory.Adopt(workers));
    state.counters["moved"] = static_cast<double>(memory.moved());
    memory.Adopt(3 - workers);
  }
  state.counters["ns_per_session"] = benchmark::Counter(
      count, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void BM_Yardstick(benchmark::State& state, bool in_file) {
  const auto count = static_cast<uint32_t>(state.range(0));
  const size_t bytes = SessionTable::RequiredBytes({count, 0});
  const Memory memory(bytes, in_file);
  const auto* const words = reinterpret_cast<const uint64_t*>(memory.span().data());
  constexpr size_t kLineWords = 8, kBatch = 32;
  const size_t bucket_lines = size_t{count} * 2 * 5 / 4 / 8;
  for (size_t i = 0; i < bytes / 8; ++i) const_cast<uint64_t*>(words)[i] = i;
  std::minstd_rand random(1);
  uint64_t sum = 0;
  for ([[maybe_unused]] auto _ : state) {
    for (size_t i = 0; i < bytes / 8; i += kLineWords) sum += words[i];
    for (uint32_t batch = 0; batch < 2 * count / kBatch; ++batch) {
      std::array<size_t, kBatch> lines;
      for (size_t& line : lines) {
        line = (uint64_t{random()} * bucket_lines >> 31) * kLineWords;
        __builtin_prefetch(&words[line]);
      }
      for (const size_t line : lines) sum += words[line];
    }
  }
  benchmark::DoNotOptimize(sum);
  state.counters["ns_per_session"] = benchmark::Counter(
      count, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

BENCHMARK_CAPTURE(BM_Adopt, huge_pages, false)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Yardstick, huge_pages, false)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Adopt, plain_pages, true)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Yardstick, plain_pages, true)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_AdoptByOthers, one_to_two / huge_pages, false, 2)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_AdoptByOthers, two_to_one / huge_pages, false, 1)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_AdoptByOthers, one_to_two / plain_pages, true, 2)
    ->Arg(1'000'000)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_AdoptByOthers, two_to_one / plain_pages, true, 1)
    ->Arg(1'000'000)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace steelyard::core

BENCHMARK_MAIN();
