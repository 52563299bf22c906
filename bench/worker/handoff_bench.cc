// SPDX-License-Identifier: Apache-2.0
//
// What it costs to hand a packet off, in bursts of 32: the steering hash that finds the owner, and
// the ring. OneCore has both of its ends on one core: the instructions. TwoCores adds the lines
// that move, with a consumer and a producer that do nothing else, so that they are in each other's
// way as much as can be. RoundsOfWork has them do what workers do, a burst's work between two looks
// at the ring; what a queue costs there is what its rounds take more than those with no queue.
// Yardstick beside: Boost's single-producer single-consumer queue with the same entries. The new
// parse and the cold packet at the other worker are not in these figures. Two CPUs of a virtual
// machine may be one core's at times, where no line moves: repeat.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <chrono>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "core/key_hash.h"
#include "core/steering.h"
#include "worker/handoff.h"

namespace steelyard::worker {
namespace {

using BoostQueue =
    boost::lockfree::spsc_queue<HandedOff, boost::lockfree::capacity<HandoffRing::kCapacity>>;

constexpr std::array<uint8_t, core::kBurstCapacity> kAll = [] {
  std::array<uint8_t, core::kBurstCapacity> indices{};
  std::iota(indices.begin(), indices.end(), uint8_t{0});
  return indices;
}();

core::Burst SomeBurst() {
  core::Burst burst;
  burst.count = core::kBurstCapacity;
  for (uint32_t i = 0; i < burst.count; ++i) {
    burst.packet[i] = {nullptr, 60 + i, 128};
    burst.buffer[i] = &burst;
  }
  return burst;
}

// The queues with one face.
struct Ours {
  uint32_t Push(const core::Burst& burst) { return ring->Push(burst, kAll); }
  void Pop(core::Burst& burst) { ring->Pop(burst); }
  std::unique_ptr<HandoffRing> ring = std::make_unique<HandoffRing>();
};
struct Boosts {
  uint32_t Push(const core::Burst& burst) {
    std::array<HandedOff, core::kBurstCapacity> entries;
    for (uint32_t i = 0; i < burst.count; ++i) {
      entries[i].packet = burst.packet[i];
      entries[i].buffer = burst.buffer[i];
      entries[i].in_port = burst.in_port;
      entries[i].steered = burst.steered[i];
    }
    return static_cast<uint32_t>(queue->push(entries.data(), burst.count));
  }
  void Pop(core::Burst& burst) {
    std::array<HandedOff, core::kBurstCapacity> entries;
    burst.count = static_cast<uint32_t>(queue->pop(entries.data(), core::kBurstCapacity));
    for (uint32_t i = 0; i < burst.count; ++i) {
      burst.packet[i] = entries[i].packet;
      burst.buffer[i] = entries[i].buffer;
      burst.in_port = entries[i].in_port;
      burst.steered[i] = entries[i].steered;
    }
  }
  std::unique_ptr<BoostQueue> queue = std::make_unique<BoostQueue>();
};
struct NoQueue {
  uint32_t Push(const core::Burst& burst) { return burst.count; }
  void Pop(core::Burst& burst) { burst.count = core::kBurstCapacity; }
};

void SetPerPacket(benchmark::State& state, int64_t packets) {
  state.SetItemsProcessed(packets);
  state.counters["per_packet"] = benchmark::Counter(
      static_cast<double>(packets), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <typename Queue>
void OneCore(benchmark::State& state) {
  Queue queue;
  const core::Burst in = SomeBurst();
  core::Burst out;
  int64_t packets = 0;
  for (auto _ : state) {
    queue.Push(in);
    queue.Pop(out);
    benchmark::DoNotOptimize(out.packet);
    packets += out.count;
  }
  SetPerPacket(state, packets);
}
BENCHMARK(OneCore<Ours>);
BENCHMARK(OneCore<Boosts>);

template <typename Queue>
void TwoCores(benchmark::State& state) {
  Queue queue;
  std::atomic<bool> stop{false};
  std::thread producer([&] {
    const core::Burst in = SomeBurst();
    while (!stop.load(std::memory_order_relaxed)) queue.Push(in);
  });
  core::Burst out;
  int64_t packets = 0;
  for (auto _ : state) {
    queue.Pop(out);
    benchmark::DoNotOptimize(out.packet);
    packets += out.count;
  }
  stop = true;
  producer.join();
  SetPerPacket(state, packets);
}
BENCHMARK(TwoCores<Ours>)->UseRealTime();
BENCHMARK(TwoCores<Boosts>)->UseRealTime();

// Stands for a worker's own part of an iteration: loads and stores of its own, some lines a packet.
class BurstOfWork {
 public:
  void Do() {
    for (uint32_t i = 0; i < core::kBurstCapacity * kWordsPerPacket; ++i) {
      uint64_t& word = words_[position_++ % words_.size()];
      word = word * 0x9e3779b97f4a7c15 + i;
    }
    benchmark::DoNotOptimize(words_.data());
    benchmark::ClobberMemory();
  }

 private:
  static constexpr uint32_t kWordsPerPacket = 24;
  std::vector<uint64_t> words_ = std::vector<uint64_t>(2048);
  uint32_t position_ = 0;
};

// Iterations, timed each for itself: the median has none in it that somebody else interrupted.
class Rounds {
 public:
  // `round` returns how many packets moved. Counts rounds with a full burst only.
  void Time(auto&& round) {
    const auto start = std::chrono::steady_clock::now();
    if (round() != core::kBurstCapacity) return;
    nanoseconds_.push_back(
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
  }
  double MedianNsPerPacket() {
    if (nanoseconds_.empty()) return 0;
    const auto middle = nanoseconds_.begin() + static_cast<long>(nanoseconds_.size() / 2);
    std::nth_element(nanoseconds_.begin(), middle, nanoseconds_.end());
    return *middle / core::kBurstCapacity;
  }

 private:
  std::vector<double> nanoseconds_;
};

template <typename Queue>
void RoundsOfWork(benchmark::State& state) {
  Queue queue;
  std::atomic<bool> stop{false};
  Rounds producer_rounds, consumer_rounds;
  std::thread producer([&] {
    const core::Burst in = SomeBurst();
    BurstOfWork work;
    while (!stop.load(std::memory_order_relaxed))
      producer_rounds.Time([&] {
        work.Do();
        return queue.Push(in);
      });
  });
  core::Burst out;
  BurstOfWork work;
  for (auto _ : state)
    consumer_rounds.Time([&] {
      queue.Pop(out);
      benchmark::DoNotOptimize(out.packet);
      work.Do();
      return out.count;
    });
  stop = true;
  producer.join();
  state.counters["producer_ns_per_packet"] = producer_rounds.MedianNsPerPacket();
  state.counters["consumer_ns_per_packet"] = consumer_rounds.MedianNsPerPacket();
}
BENCHMARK(RoundsOfWork<NoQueue>)->UseRealTime();
BENCHMARK(RoundsOfWork<Ours>)->UseRealTime();
BENCHMARK(RoundsOfWork<Boosts>)->UseRealTime();

template <typename Key>
std::vector<Key> Keys() {
  std::vector<Key> keys(4096);
  auto* bytes = reinterpret_cast<uint8_t*>(keys.data());
  for (size_t i = 0; i < keys.size() * sizeof(Key); ++i)
    bytes[i] = static_cast<uint8_t>(i * 2'654'435'761u >> 13);
  return keys;
}

// Bit by bit, as the hash is defined: the yardstick of the steering hash.
template <typename Key>
uint32_t HashBitByBit(const core::ToeplitzKey& key, const Key& flow) {
  const auto* input = reinterpret_cast<const uint8_t*>(&flow);
  const auto key_bit = [&](size_t bit) { return uint32_t{key[bit / 8]} >> (7 - bit % 8) & 1; };
  uint32_t window = 0;
  for (size_t bit = 0; bit < 32; ++bit) window = window << 1 | key_bit(bit);
  uint32_t hash = 0;
  for (size_t bit = 0; bit < 8 * offsetof(Key, protocol); ++bit) {
    if ((input[bit / 8] >> (7 - bit % 8) & 1) != 0) hash ^= window;
    window = window << 1 | key_bit(bit + 32);
  }
  return hash;
}

template <typename Key>
void SteeringHashBitByBit(benchmark::State& state) {
  const std::vector<Key> keys = Keys<Key>();
  int64_t packets = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(HashBitByBit(core::kSteeringKey, keys[packets % 4096]));
    ++packets;
  }
  SetPerPacket(state, packets);
}
BENCHMARK(SteeringHashBitByBit<net::FlowKey4>);
BENCHMARK(SteeringHashBitByBit<net::FlowKey6>);

template <typename Key, core::Toeplitz::Way kWay>
void SteeringHash(benchmark::State& state) {
  if (kWay == core::Toeplitz::Way::kAffine && !core::Toeplitz::HasAffine()) {
    state.SkipWithError("this CPU has no GFNI with AVX-512");
    return;
  }
  const core::Toeplitz toeplitz(core::kSteeringKey, kWay);
  const std::vector<Key> keys = Keys<Key>();
  int64_t packets = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(toeplitz.Hash(keys[packets % 4096]));
    ++packets;
  }
  SetPerPacket(state, packets);
}
BENCHMARK(SteeringHash<net::FlowKey4, core::Toeplitz::Way::kTable>);
BENCHMARK(SteeringHash<net::FlowKey4, core::Toeplitz::Way::kAffine>);
BENCHMARK(SteeringHash<net::FlowKey6, core::Toeplitz::Way::kTable>);
BENCHMARK(SteeringHash<net::FlowKey6, core::Toeplitz::Way::kAffine>);

// The hash of the session table: both are computed for a packet that no port has steered.
template <typename Key>
void SessionHash(benchmark::State& state) {
  const core::HashSecret secret{};
  const std::vector<Key> keys = Keys<Key>();
  int64_t packets = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(core::KeyHash(keys[packets % 4096], secret));
    ++packets;
  }
  SetPerPacket(state, packets);
}
BENCHMARK(SessionHash<net::FlowKey4>);
BENCHMARK(SessionHash<net::FlowKey6>);

}  // namespace
}  // namespace steelyard::worker

BENCHMARK_MAIN();
