// SPDX-License-Identifier: Apache-2.0
//
// A worker in memory that has established sessions of one forwarding mode and family, and packets
// for it: the shortest TCP segments (IPv4: 60 bytes, 64 with the frame check sequence; IPv6: 74),
// of both directions where both pass the box, of sessions at random (uniform or by Zipf's law), in
// bursts of 32. For benchmarks; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "../measure.h"
#include "core/pipeline.h"
#include "net/checksum.h"
#include "net/wire.h"

namespace steelyard::core {

using bench::Memory;
using net::Be16;
using net::Be32;
using net::FlowKey;
using net::HeaderAt;
using net::Ipv4Address;

inline constexpr uint32_t kBurstsPerRun = 64;
inline constexpr uint32_t kPackets = kBurstsPerRun * kBurstCapacity;
inline constexpr net::MacAddress kMac{{2, 0, 0, 0, 0, 1}};

// Receive buffers, written anew before every run as a NIC would. As an mbuf's, the bytes begin a
// cache line.
class Frames {
 public:
  Frames() : memory_(kPackets * kBufferBytes) {}

  void Write(uint32_t i, const FlowKey& key, uint8_t flags) {
    auto* const frame = reinterpret_cast<uint8_t*>(&memory_.span()[i * kBufferBytes + kHeadroom]);
    std::memset(frame, 0, kMostFrameBytes);
    const bool is_ipv4 = key.is_v4();
    packets_[i] = {frame, is_ipv4 ? kIpv4FrameBytes : kMostFrameBytes, kHeadroom};
    auto& ethernet = HeaderAt<net::EthernetHeader>(packets_[i], 0);
    ethernet = {kMac, kMac, is_ipv4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6};
    const uint32_t l4_offset = is_ipv4 ? WriteIpv4(packets_[i], key) : WriteIpv6(packets_[i], key);
    auto& tcp = HeaderAt<net::TcpHeader>(packets_[i], l4_offset);
    tcp.source_port = key.source.port;
    tcp.destination_port = key.destination.port;
    tcp.data_offset_and_reserved = 0x50;
    tcp.flags = flags;
  }

  const net::Packet& packet(uint32_t i) const { return packets_[i]; }

 private:
  static uint32_t WriteIpv4(const net::Packet& packet, const FlowKey& key) {
    auto& ip = HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
    ip.version_and_length = 0x45;
    ip.total_length = Be16(kIpv4FrameBytes - net::kL3Offset);
    ip.ttl = 64;
    ip.protocol = static_cast<uint8_t>(net::L4Protocol::kTcp);
    ip.source = key.source.address.v4();
    ip.destination = key.destination.address.v4();
    ip.checksum = net::ChecksumOf(net::SumBytes(&ip, sizeof ip));
    return net::kL3Offset + sizeof ip;
  }
  static uint32_t WriteIpv6(const net::Packet& packet, const FlowKey& key) {
    auto& ip = HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
    ip.version_class_flow = Be32(6u << 28);
    ip.payload_length = Be16(sizeof(net::TcpHeader));
    ip.next_header = static_cast<uint8_t>(net::L4Protocol::kTcp);
    ip.hop_limit = 64;
    ip.source = key.source.address.v6();
    ip.destination = key.destination.address.v6();
    return net::kL3Offset + sizeof ip;
  }

  static constexpr uint32_t kIpv4FrameBytes = 60;
  static constexpr uint32_t kMostFrameBytes = 74;
  static constexpr uint32_t kHeadroom = 128;
  static constexpr size_t kBufferBytes = 2176;  // an mbuf
  Memory memory_;
  std::array<net::Packet, kPackets> packets_;
};

// What a worker's sessions are like.
struct Load {
  const ForwardingMode* mode = &FullNat();
  net::Family family = net::Family::kIpv4;
  uint32_t sessions = 1;
  uint32_t services = 1;   // on ports of one VIP
  uint32_t backends = 64;  // of each
  std::shared_ptr<const Scheduler> (*scheduler)(std::span<const Backend>) = MakeWeightedRoundRobin;
  bool zipf = false;  // the packets of the n-th busiest flow are 1/n as many as the first's

  SessionCapacity capacity() const {
    return family == net::Family::kIpv4 ? SessionCapacity{sessions, 1}
                                        : SessionCapacity{1, sessions};
  }
};

// The n-th address of a subnet of the benchmark's.
inline net::IpAddress AddressOf(net::Family family, uint32_t subnet, uint32_t number) {
  if (family == net::Family::kIpv4) return Ipv4Address{Be32((subnet << 24) + number)};
  net::Ipv6Address address{};
  address.bytes[0] = 0xfd;
  address.bytes[1] = static_cast<uint8_t>(subnet);
  for (int i = 0; i < 4; ++i) address.bytes[15 - i] = static_cast<uint8_t>(number >> (8 * i));
  return address;
}
inline constexpr uint32_t kClients = 198, kServers = 10;
inline constexpr uint32_t kRouter = 1, kVip = 0x010a, kLocal = 0x0264, kBackend = 0x030b;

inline constexpr uint16_t kFirstPort = 80;

inline std::shared_ptr<const Service> MakeService(const Load& load, ServiceSlot slot) {
  const auto address = [&](uint32_t number) { return AddressOf(load.family, kServers, number); };
  auto service = std::make_shared<Service>();
  service->slot = slot;
  service->address = {address(kVip), Be16(static_cast<uint16_t>(kFirstPort + slot))};
  service->mode = load.mode;
  for (uint32_t i = 0; i < 8; ++i) service->local_addresses.Add(address(kLocal + i));
  for (uint32_t i = 0; i < load.backends; ++i)
    service->backends.push_back({.endpoint = {address(kBackend + i), service->address.port},
                                 .weight = 1,
                                 .available = true,
                                 .keeps_sessions = true,
                                 .slot = slot * load.backends + i});
  service->scheduler = load.scheduler(service->backends);
  return service;
}

inline Snapshot MakeSnapshot(const Load& load) {
  if (load.services > kMaxServices || load.services * load.backends > kMaxBackends) std::abort();
  Snapshot snapshot;
  snapshot.ports = {{kMac, 1500}};
  NetworkDescription description;
  const net::IpAddress anywhere =
      load.family == net::Family::kIpv4 ? net::IpAddress(Ipv4Address{}) : net::Ipv6Address{};
  const net::IpAddress router = AddressOf(load.family, kServers, kRouter);
  description.routes[{anywhere, 0}] = {{0, router}};
  description.neighbours[{0, router}] = kMac;
  snapshot.network = std::make_shared<Network>(description, snapshot.ports);
  auto index = std::make_shared<ServiceIndex>();
  for (ServiceSlot slot = 0; slot < load.services; ++slot) {
    snapshot.services.push_back(MakeService(load, slot));
    const Service& service = *snapshot.services.back();
    (*index)[{service.address, service.protocol}] = slot;
  }
  snapshot.index = std::move(index);
  return snapshot;
}

// The n-th client, of a service that has no order either.
inline FlowKey ClientFlow(const Load& load, uint32_t number) {
  const uint32_t drawn = number * 2654435761u;
  const uint64_t service = uint64_t{drawn} * load.services >> 32;
  return {
      {AddressOf(load.family, kClients, number / 60'000),
       Be16(static_cast<uint16_t>(2000 + number % 60'000))},
      {AddressOf(load.family, kServers, kVip), Be16(static_cast<uint16_t>(kFirstPort + service))},
      net::L4Protocol::kTcp};
}

// Which of the flows a packet is of, by rank: the n-th with a probability of 1/n of the first's
// (Zipf's law), by looking a uniform number up in the sums.
class ZipfRanks {
 public:
  explicit ZipfRanks(size_t count) : sums_(count) {
    double sum = 0;
    for (size_t rank = 0; rank < count; ++rank)
      sums_[rank] = sum += 1.0 / static_cast<double>(rank + 1);
  }
  size_t Draw(std::mt19937_64& random) const {
    const double drawn = std::uniform_real_distribution<double>(0, sums_.back())(random);
    const auto at = std::lower_bound(sums_.begin(), sums_.end(), drawn);
    return std::min(static_cast<size_t>(at - sums_.begin()), sums_.size() - 1);
  }

 private:
  std::vector<double> sums_;
};

// A worker with those sessions, established.
class InMemoryWorker {
 public:
  explicit InMemoryWorker(const Load& load)
      : memory_(SessionTable::RequiredBytes(load.capacity())),
        table_(memory_.span(), load.capacity(), HashSecret()),
        pipeline_(0, table_, state_, now_ns_),
        snapshot_(MakeSnapshot(load)) {
    for (uint32_t i = 0; i < load.sessions; ++i) Open(ClientFlow(load, i));
    if (table_.size() != load.sessions) std::abort();
    if (!load.zipf) return;
    std::shuffle(keys_.begin(), keys_.end(), random_);  // busy ones are nowhere in particular
    zipf_.emplace(keys_.size());
  }

  size_t bytes() { return memory_.span().size(); }

  void WriteRandomFrames() {
    for (uint32_t i = 0; i < kPackets; ++i)
      frames_.Write(i, keys_[zipf_ ? zipf_->Draw(random_) : random_() % keys_.size()],
                    net::kTcpAck);
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
  void Open(const FlowKey& client) {
    Send(client, net::kTcpSyn);
    const FlowRef forward = table_.Find(client);
    keys_.push_back(client);
    if (IsFoundByReverseKey(table_.record(SessionOf(forward)).kind)) {
      const FlowKey backend = table_.Describe(forward).rewrite.Reversed();
      Send(backend, net::kTcpSyn | net::kTcpAck);
      keys_.push_back(backend);
    }
    Send(client, net::kTcpAck);
  }

  void Send(const FlowKey& key, int flags) {
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
  Snapshot snapshot_;
  Frames frames_;
  Burst burst_;
  // Beside the table: a look into that would bring the lines that are to be missed.
  std::vector<FlowKey> keys_;
  std::optional<ZipfRanks> zipf_;  // none: all flows alike
  std::mt19937_64 random_{1};
};

}  // namespace steelyard::core
