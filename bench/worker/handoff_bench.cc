// SPDX-License-Identifier: Apache-2.0
//
// What it costs to hand a packet off, in bursts of 32: the steering hash that finds the owner, and
// the ring, both ends on one core (the instructions) and on two (with the lines that move between
// them). Yardstick beside: Boost's single-producer single-consumer queue with the same entries. The
// new parse and the cold packet at the other worker are not in these figures.
#include <benchmark/benchmark.h>

#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <memory>
#include <numeric>
#include <thread>

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

// The two queues with one face.
struct Ours {
  uint32_t Push(const core::Burst& burst) { return ring->Push(burst, kAll); }
  void Pop(core::Burst& burst) { ring->Pop(burst); }
  std::unique_ptr<HandoffRing> ring = std::make_unique<HandoffRing>();
};
struct Boosts {
  uint32_t Push(const core::Burst& burst) {
    std::array<HandedOff, core::kBurstCapacity> entries;
    for (uint32_t i = 0; i < burst.count; ++i)
      entries[i] = {burst.packet[i], burst.buffer[i], burst.in_port, burst.steered[i]};
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
