// SPDX-License-Identifier: Apache-2.0
//
// The session table by itself: finding by batches of 32 as the pipeline does; setting up and ending
// sessions at random, and expiry, each with so many sessions alive. Records, timers and buckets of
// successive sessions have nothing in common, as after a long time in use. The yardstick reads
// random lines of the table's own memory.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "core/session_table.h"
#include "in_memory_worker.h"

namespace steelyard::core {
namespace {

using bench::SecondsOf;
using net::Endpoint;
using net::FlowKey4;
using net::FlowKey6;

constexpr uint32_t kBatch = 32;
constexpr uint32_t kFinds = bench::RandomLines::kCount;
constexpr uint32_t kLocals = 172;  // a subnet as kClients
constexpr uint32_t kTimeoutMs = 350'000;

// Both flows of the session of that number, as full NAT has them.
struct NumberedSession {
  SessionTable::Flow forward, reverse;
};

template <typename Key>
Endpoint Host(uint32_t subnet, uint32_t number, uint32_t port) {
  constexpr auto kFamily = std::is_same_v<Key, FlowKey4> ? net::Family::kIpv4 : net::Family::kIpv6;
  return {AddressOf(kFamily, subnet, number), Be16(static_cast<uint16_t>(port))};
}

template <typename Key>
NumberedSession Numbered(uint32_t number) {
  const uint32_t host = number / 50'000, port = 1024 + number % 50'000;
  const FlowKey front(Host<Key>(kClients, host, port), Host<Key>(kServers, kVip, 80),
                      net::L4Protocol::kTcp);
  const FlowKey back(Host<Key>(kLocals, host, port),
                     Host<Key>(kServers, kBackend + number % 64, 80), net::L4Protocol::kTcp);
  return {{front, back}, {back.Reversed(), front.Reversed()}};
}

template <typename Key>
Key KeyOf(const FlowKey& key) {
  if constexpr (std::is_same_v<Key, FlowKey4>)
    return key.v4();
  else
    return key.v6();
}

template <typename Key>
class LiveTable {
 public:
  explicit LiveTable(uint32_t sessions)
      : memory_(SessionTable::RequiredBytes(CapacityOf(sessions))),
        table_(memory_.span(), CapacityOf(sessions), HashSecret{}),
        lines_(memory_.span()) {
    table_.timers().Start(0);
    live_.reserve(sessions);
  }

  // With a timer that is anywhere in the time to come.
  void Fill() {
    while (live_.size() < table_.capacity().total())
      live_.push_back(Open(static_cast<uint32_t>(random_() % kTimeoutMs)));
  }

  SessionId Open(uint32_t deadline_ms) {
    const NumberedSession session = Numbered<Key>(opened_++);
    const SessionId id = table_.Insert(session.forward, session.reverse);
    if (id == kNoSession) std::abort();
    table_.timers().Arm(id, deadline_ms);
    table_.Complete(id);
    return id;
  }
  void End(SessionId session) {
    table_.timers().Disarm(session);
    table_.Remove(session);
  }

  // While none has ended: the keys of random flows.
  std::array<Key, kFinds> DrawKeys() {
    std::array<Key, kFinds> keys;
    for (Key& key : keys) {
      const NumberedSession session = Numbered<Key>(static_cast<uint32_t>(random_() % opened_));
      key = KeyOf<Key>(random_() % 2 ? session.forward.key : session.reverse.key);
    }
    return keys;
  }

  SessionTable& table() { return table_; }
  bench::RandomLines& lines() { return lines_; }
  std::vector<SessionId>& live() { return live_; }
  std::mt19937_64& random() { return random_; }

 private:
  static SessionCapacity CapacityOf(uint32_t sessions) {
    return std::is_same_v<Key, FlowKey4> ? SessionCapacity{sessions, 0}
                                         : SessionCapacity{0, sessions};
  }
  bench::Memory memory_;
  SessionTable table_;
  bench::RandomLines lines_;
  std::vector<SessionId> live_;
  uint32_t opened_ = 0;
  std::mt19937_64 random_{1};
};

template <typename Key>
void FindAll(const SessionTable& table, const std::array<Key, kFinds>& keys) {
  std::array<uint64_t, kBatch> hashes;
  std::array<FlowRef, kBatch> flows;
  for (uint32_t begin = 0; begin < kFinds; begin += kBatch) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      hashes[i] = KeyHash(keys[begin + i], table.secret());
      table.PrefetchBucket(hashes[i]);
    }
    for (uint32_t i = 0; i < kBatch; ++i) {
      flows[i] = table.Candidate(hashes[i]);
      table.PrefetchFlow(flows[i]);
    }
    for (uint32_t i = 0; i < kBatch; ++i)
      if (table.Confirm(flows[i], keys[begin + i], hashes[i]) == kNoFlow) std::abort();
  }
}

void Report(benchmark::State& state, const char* what, double ns, double line_ns) {
  state.counters[what] = ns;
  state.counters["ns_per_line"] = line_ns;
  state.counters["ratio"] = ns / line_ns;
}

template <typename Key>
void Find(benchmark::State& state) {
  LiveTable<Key> live(static_cast<uint32_t>(state.range(0)));
  live.Fill();
  std::vector<double> find_ns, line_ns;
  for (auto _ : state) {
    const auto keys = live.DrawKeys();
    const double seconds = SecondsOf([&] { FindAll(live.table(), keys); });
    state.SetIterationTime(seconds);
    find_ns.push_back(seconds * 1e9 / kFinds);
    line_ns.push_back(live.lines().NsPerLine());
  }
  Report(state, "ns_per_find", bench::Median(find_ns), bench::Median(line_ns));
}

// Of a full table a few random sessions end, and as many others are opened.
template <typename Key>
void InsertAndEnd(benchmark::State& state) {
  const auto sessions = static_cast<uint32_t>(state.range(0));
  const uint32_t turnover = std::min(sessions / 8, 2048u);
  LiveTable<Key> live(sessions);
  live.Fill();
  std::vector<double> insert_ns, end_ns, line_ns;
  for (auto _ : state) {
    auto& ids = live.live();
    for (uint32_t i = 0; i < turnover; ++i)
      std::swap(ids[i], ids[i + live.random()() % (sessions - i)]);
    const double end_seconds = SecondsOf([&] {
      for (uint32_t i = 0; i < turnover; ++i) live.End(ids[i]);
    });
    const double insert_seconds = SecondsOf([&] {
      for (uint32_t i = 0; i < turnover; ++i) ids[i] = live.Open(kTimeoutMs);
    });
    state.SetIterationTime(end_seconds + insert_seconds);
    end_ns.push_back(end_seconds * 1e9 / turnover);
    insert_ns.push_back(insert_seconds * 1e9 / turnover);
    line_ns.push_back(live.lines().NsPerLine());
  }
  state.counters["ns_per_insert"] = bench::Median(insert_ns);
  state.counters["ns_per_end"] = bench::Median(end_ns);
  Report(state, "ns_both", bench::Median(insert_ns) + bench::Median(end_ns),
         bench::Median(line_ns));
}

// Time passes; what it ends is replaced by sessions that end much later.
template <typename Key>
void Expire(benchmark::State& state) {
  const auto sessions = static_cast<uint32_t>(state.range(0));
  const uint32_t turnover = std::min(sessions / 8, 2048u);
  LiveTable<Key> live(sessions);
  SessionTable& table = live.table();
  const uint32_t lifetime_ms = sessions / turnover * TimerWheel::kSlotMs;
  for (uint32_t i = 0; i < sessions; ++i)
    live.Open(static_cast<uint32_t>(live.random()() % lifetime_ms));
  uint32_t now_ms = TimerWheel::kSlotMs;
  std::vector<double> expire_ns, line_ns;
  for (auto _ : state) {
    now_ms += TimerWheel::kSlotMs;
    uint32_t ended = 0;
    const double seconds = SecondsOf([&] {
      table.timers().Advance(now_ms, sessions, [&](SessionId session) {
        // As the pipeline: whether packets came meanwhile, both flows say.
        for (const Direction direction : {Direction::kForward, Direction::kReverse})
          if (table.state(RefOf(session, direction)).last_seen_ms != 0) std::abort();
        table.Remove(session);
        ++ended;
      });
    });
    state.SetIterationTime(seconds);
    for (uint32_t i = 0; i < ended; ++i) live.Open(now_ms + lifetime_ms);
    if (ended != 0) expire_ns.push_back(seconds * 1e9 / ended);
    line_ns.push_back(live.lines().NsPerLine());
  }
  if (expire_ns.empty()) std::abort();
  Report(state, "ns_per_session", bench::Median(expire_ns), bench::Median(line_ns));
}

// A fixed number of times: it is filling the table that takes long.
void UpTo(benchmark::internal::Benchmark* benchmark, int64_t most_sessions) {
  for (int64_t sessions : {1'000, 100'000, 1'000'000, 10'000'000})
    if (sessions <= most_sessions) benchmark->Arg(sessions);
  benchmark->UseManualTime()->Iterations(1000)->Unit(benchmark::kMicrosecond);
}
void UpToAMillion(benchmark::internal::Benchmark* benchmark) {
  UpTo(benchmark, 1'000'000);
}
void UpToTenMillion(benchmark::internal::Benchmark* benchmark) {
  UpTo(benchmark, 10'000'000);
}
BENCHMARK_TEMPLATE(Find, FlowKey4)->Apply(UpToTenMillion);
BENCHMARK_TEMPLATE(Find, FlowKey6)->Apply(UpToTenMillion);
BENCHMARK_TEMPLATE(InsertAndEnd, FlowKey4)->Apply(UpToTenMillion);
BENCHMARK_TEMPLATE(InsertAndEnd, FlowKey6)->Apply(UpToAMillion);
BENCHMARK_TEMPLATE(Expire, FlowKey4)->Apply(UpToTenMillion);
BENCHMARK_TEMPLATE(Expire, FlowKey6)->Apply(UpToAMillion);

}  // namespace
}  // namespace steelyard::core

BENCHMARK_MAIN();
