// SPDX-License-Identifier: Apache-2.0
//
// A worker in memory that has established sessions, full NAT from IPv4 to IPv4, and packets for it:
// TCP segments of 64 bytes (60 without the frame check sequence), both directions of the sessions
// at random, in bursts of 32. For benchmarks; one thread.
#pragma once

#include <sys/mman.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "core/pipeline.h"
#include "net/checksum.h"
#include "net/wire.h"

namespace steelyard::core {

using net::Be16;
using net::Be32;
using net::FlowKey4;
using net::HeaderAt;
using net::Ipv4Address;

inline constexpr uint32_t kFrameBytes = 60;
inline constexpr uint32_t kBurstsPerRun = 64;
inline constexpr uint32_t kPackets = kBurstsPerRun * kBurstCapacity;
inline constexpr net::MacAddress kMac{{2, 0, 0, 0, 0, 1}};

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
    auto* const frame = reinterpret_cast<uint8_t*>(&memory_.span()[i * kBufferBytes + kHeadroom]);
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

inline Snapshot MakeSnapshot() {
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
class InMemoryWorker {
 public:
  explicit InMemoryWorker(uint32_t sessions)
      : memory_(SessionTable::RequiredBytes({sessions, 1})),
        table_(memory_.span(), {sessions, 1}, HashSecret()),
        pipeline_(0, table_, state_, now_ns_) {
    for (uint32_t i = 0; i < sessions; ++i) {
      const FlowKey4 client{
          Ipv4Address{Be32(0xc6000000 + i / 60'000)}, Ipv4Address{Be32(0x0a00010a)},
          Be16(static_cast<uint16_t>(2000 + i % 60'000)), Be16(80), net::L4Protocol::kTcp};
      Send(client, net::kTcpSyn);
      const FlowKey4 backend = table_.Describe(table_.Find(client)).rewrite.Reversed().v4();
      Send(backend, net::kTcpSyn | net::kTcpAck);
      Send(client, net::kTcpAck);
      keys_.insert(keys_.end(), {client, backend});
    }
    if (table_.size() != sessions) std::abort();
  }

  size_t bytes() { return memory_.span().size(); }

  void WriteRandomFrames() {
    for (uint32_t i = 0; i < kPackets; ++i) {
      frames_.Write(i, keys_[random_() % keys_.size()], net::kTcpAck);
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
  // Beside the table: a look into that would bring the lines that are to be missed.
  std::vector<FlowKey4> keys_;
  std::mt19937_64 random_{1};
};

}  // namespace steelyard::core
