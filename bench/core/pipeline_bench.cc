// SPDX-License-Identifier: Apache-2.0
//
// The pipeline in memory: full NAT, IPv4, TCP segments of 64 bytes (60 without the frame check
// sequence), both directions of established sessions at random, bursts of 32. Beside it the
// yardstick: one random cache line a packet out of as much memory, fetched in batches of 32. What
// counts is the ratio of the two; the bare figures are the machine's.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/pipeline.h"
#include "net/checksum.h"
#include "net/wire.h"

namespace steelyard::core {
namespace {

using net::Be16;
using net::Be32;
using net::FlowKey4;
using net::HeaderAt;
using net::Ipv4Address;

constexpr uint32_t kFrameBytes = 60;
constexpr uint32_t kBurstsPerRun = 64;
constexpr uint32_t kPackets = kBurstsPerRun * kBurstCapacity;
constexpr net::MacAddress kMac{{2, 0, 0, 0, 0, 1}};

// On huge pages where the kernel gives them, as the dataplane's own table.
class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_((bytes + kHugePage - 1) / kHugePage * kHugePage) {
    base_ = mmap(nullptr, bytes_ + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
    if (base_ == MAP_FAILED) std::abort();
    const auto at = reinterpret_cast<uintptr_t>(base_);
    data_ = reinterpret_cast<std::byte*>((at + kHugePage - 1) / kHugePage * kHugePage);
    madvise(data_, bytes_, MADV_HUGEPAGE);
    std::memset(data_, 0, bytes_);
  }
  ~Memory() { munmap(base_, bytes_ + kHugePage); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::span<std::byte> span() { return {data_, bytes_}; }

 private:
  static constexpr size_t kHugePage = 2 << 20;
  size_t bytes_;
  void* base_;
  std::byte* data_;
};

// Receive buffers, written anew before every run as a NIC would. As an mbuf's, the bytes begin a
// cache line.
class Frames {
 public:
  Frames() : memory_(kPackets * kBufferBytes) {}

  void Write(uint32_t i, const FlowKey4& key, uint8_t flags) {
    auto* const frame =
        reinterpret_cast<uint8_t*>(&memory_.span()[i * kBufferBytes + kHeadroom]);
    std::memset(frame, 0, kFrameBytes);
    packets_[i] = {frame, kFrameBytes, kHeadroom};
    auto& ethernet = HeaderAt<net::EthernetHeader>(packets_[i], 0);
    ethernet = {kMac, kMac, net::kEtherTypeIpv4};
    auto& ip = HeaderAt<net::Ipv4Header>(packets_[i], net::kL3Offset);
    ip.version_and_length = 0x45;
    ip.total_length = Be16(kFrameBytes - net::kL3Offset);
    ip.ttl = 64;
    ip.protocol = 6;
    ip.source = key.source;
    ip.destination = key.destination;
    ip.checksum = net::ChecksumOf(net::SumBytes(&ip, sizeof ip));
    auto& tcp = HeaderAt<net::TcpHeader>(packets_[i], net::kL3Offset + sizeof ip);
    tcp.source_port = key.source_port;
    tcp.destination_port = key.destination_port;
    tcp.data_offset_and_reserved = 0x50;
    tcp.flags = flags;
  }

  const net::Packet& packet(uint32_t i) const { return packets_[i]; }

 private:
  static constexpr uint32_t kHeadroom = 128;
  static constexpr size_t kBufferBytes = 2176;  // an mbuf
  Memory memory_;
  std::array<net::Packet, kPackets> packets_;
};

Snapshot MakeSnapshot() {
  const auto address = [](uint32_t bits) { return net::IpAddress(Ipv4Address{Be32(bits)}); };
  Snapshot snapshot;
  snapshot.ports = {{kMac, 1500}};
  NetworkDescription description;
  description.routes[{address(0), 0}] = {{0, address(0x0a000001)}};
  description.neighbours[{0, address(0x0a000001)}] = kMac;
  snapshot.network = std::make_shared<Network>(description, snapshot.ports);
  auto service = std::make_shared<Service>();
  service->address = {address(0x0a00010a), Be16(80)};
  service->mode = &FullNat();
  for (uint32_t i = 0; i < 8; ++i) service->local_addresses.Add(address(0x0a000264 + i));
  for (uint32_t i = 0; i < 64; ++i)
    service->backends.push_back({.endpoint = {address(0x0a00030b + i), Be16(8080)},
                                 .weight = 1,
                                 .available = true,
                                 .keeps_sessions = true,
                                 .slot = i});
  service->scheduler = MakeWeightedRoundRobin(service->backends);
  auto index = std::make_shared<ServiceIndex>();
  (*index)[{service->address, service->protocol}] = 0;
  snapshot.index = std::move(index);
  snapshot.services = {std::move(service)};
  return snapshot;
}

// A worker with that many established sessions.
class Worker {
 public:
  explicit Worker(uint32_t sessions)
      : memory_(SessionTable::RequiredBytes({sessions, 1})),
        table_(memory_.span(), {sessions, 1}, HashSecret()),
        pipeline_(0, table_, state_, now_ns_) {
    for (uint32_t i = 0; i < sessions; ++i) {
      const FlowKey4 client{
          Ipv4Address{Be32(0xc6000000 + i / 60'000)}, Ipv4Address{Be32(0x0a00010a)},
          Be16(static_cast<uint16_t>(2000 + i % 60'000)), Be16(80), net::L4Protocol::kTcp};
      Send(client, net::kTcpSyn);
      Send(table_.Describe(table_.Find(client)).rewrite.Reversed().v4(),
           net::kTcpSyn | net::kTcpAck);
      Send(client, net::kTcpAck);
    }
    if (table_.size() != sessions) std::abort();
  }

  size_t bytes() { return memory_.span().size(); }

  void WriteRandomFrames() {
    for (uint32_t i = 0; i < kPackets; ++i) {
      const auto flow = static_cast<FlowRef>(random_() % (2 * uint64_t{table_.size()}));
      frames_.Write(i, table_.Describe(flow).key.v4(), net::kTcpAck);
    }
  }

  void Process() {
    now_ns_ += 1000;
    for (uint32_t burst = 0; burst < kBurstsPerRun; ++burst) {
      burst_.count = kBurstCapacity;
      for (uint32_t i = 0; i < kBurstCapacity; ++i)
        burst_.packet[i] = frames_.packet(burst * kBurstCapacity + i);
      pipeline_.Process(snapshot_, burst_, now_ns_);
      for (uint32_t i = 0; i < kBurstCapacity; ++i)
        if (burst_.verdict[i] != net::Verdict::kForwarded) std::abort();
    }
  }

 private:
  void Send(const FlowKey4& key, int flags) {
    frames_.Write(0, key, static_cast<uint8_t>(flags));
    burst_.count = 1;
    burst_.packet[0] = frames_.packet(0);
    pipeline_.Process(snapshot_, burst_, now_ns_);
    if (burst_.verdict[0] != net::Verdict::kForwarded) std::abort();
  }

  uint64_t now_ns_ = 1'000'000'000;
  Memory memory_;
  SessionTable table_;
  WorkerState state_{1};
  Pipeline pipeline_;
  Snapshot snapshot_ = MakeSnapshot();
  Frames frames_;
  Burst burst_;
  std::mt19937_64 random_{1};
};

// Of this thread's own time: others on the machine only count by what they do to its caches.
double SecondsOf(auto&& work) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  const double start = now();
  work();
  return now() - start;
}

double MedianNsPerPacket(std::vector<double>& seconds) {
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<long>(seconds.size() / 2),
                   seconds.end());
  return seconds[seconds.size() / 2] * 1e9 / kPackets;
}

// One random line a packet of that much memory, in batches of 32.
class Yardstick {
 public:
  explicit Yardstick(size_t bytes) : memory_(bytes) {}
  void Draw() {
    for (uint32_t& line : lines_)
      line = static_cast<uint32_t>(random_() % (memory_.span().size() / 64));
  }
  uint64_t Process() {
    uint64_t sum = 0;
    for (uint32_t begin = 0; begin < kPackets; begin += kBurstCapacity) {
      for (uint32_t i = begin; i < begin + kBurstCapacity; ++i)
        __builtin_prefetch(&memory_.span()[size_t{lines_[i]} * 64]);
      for (uint32_t i = begin; i < begin + kBurstCapacity; ++i)
        sum += static_cast<uint64_t>(memory_.span()[size_t{lines_[i]} * 64]);
    }
    return sum;
  }

 private:
  Memory memory_;
  std::array<uint32_t, kPackets> lines_;
  std::mt19937_64 random_{2};
};

void FullNatSteadyState(benchmark::State& state) {
  Worker worker(static_cast<uint32_t>(state.range(0)));
  Yardstick yardstick(worker.bytes());
  std::vector<double> pipeline_seconds, yardstick_seconds;
  for (auto _ : state) {
    worker.WriteRandomFrames();
    pipeline_seconds.push_back(SecondsOf([&] { worker.Process(); }));
    state.SetIterationTime(pipeline_seconds.back());
    yardstick.Draw();
    yardstick_seconds.push_back(SecondsOf([&] { benchmark::DoNotOptimize(yardstick.Process()); }));
  }
  const double pipeline_ns = MedianNsPerPacket(pipeline_seconds);
  const double yardstick_ns = MedianNsPerPacket(yardstick_seconds);
  state.counters["ns_per_packet"] = pipeline_ns;
  state.counters["ns_per_line"] = yardstick_ns;
  state.counters["ratio"] = pipeline_ns / yardstick_ns;
}
BENCHMARK(FullNatSteadyState)
    ->Arg(1'000)
    ->Arg(1'000'000)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace steelyard::core

BENCHMARK_MAIN();
