// SPDX-License-Identifier: Apache-2.0
//
// A box in memory: one worker's pipeline with two ports, a clock that only the test moves, and a
// configuration that the test writes.
//
//   client 198.51.100.7 ── gateway 10.0.1.1 ── port 0 [box] port 1 ── backends 10.0.2.11 …
//   2001:db8:7::7          fd00:1::1            10.0.1.10:80           fd00:2::11 …
//                                               fd00:1::10:80
//
// Receive() asserts what holds for every packet whatever the test is about: exactly one verdict; a
// packet that is not forwarded is not touched; one that is forwarded is whole, leaves by a port of
// ours with the link layer of its next hop and, if it came with right checksums, has right ones; an
// answer is a right ICMP error to the sender, about a packet too big or out of TTL, and quotes it.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "core/pipeline.h"
#include "packet/packet_builder.h"
#include "packet/strange_frames.h"

namespace steelyard::test {

inline constexpr core::PortId kClientPort = 0;
inline constexpr core::PortId kBackendPort = 1;

inline const net::IpAddress kLocal4 = Address("10.0.2.100");
inline const net::IpAddress kLocal6 = Address("fd00:2::100");
inline const net::IpAddress kOutside4 = Address("10.0.1.100");
inline const net::IpAddress kOutside6 = Address("fd00:1::100");

// Backend number 0, 1, …; port 8080.
net::Endpoint Backend4(uint8_t number);
net::Endpoint Backend6(uint8_t number);
net::MacAddress MacOf(const net::IpAddress& host);

class Box {
 public:
  struct Options {
    core::SessionCapacity capacity{256, 256};
    core::ReassemblyLimits reassembly;  // none: fragments are dropped
    core::HashSecret secret;
    uint64_t now_ns = 1'000'000'000'000;
  };
  Box();
  explicit Box(const Options& options);

  // --- configuration: alter, then Compile() ---
  const core::ForwardingMode* mode = &core::FullNat();  // of services that are added
  core::NetworkDescription routes;
  std::vector<core::PortInfo> ports;
  std::vector<core::Service> services;  // slots follow their order
  core::Service& AddService(const net::Endpoint& address, net::L4Protocol protocol,
                            size_t backend_count = 1);
  // TCP and UDP, IPv4 and IPv6, on port 80 with `backend_count` backends each.
  void AddUsualServices(size_t backend_count = 1);
  core::Service& service(const net::Endpoint& address, net::L4Protocol protocol);
  // Of everything from the backends' networks, with kOutside4 and kOutside6. Slots come after the
  // services'.
  struct Gateway {
    core::OutboundGateway match;
    core::Service service;
  };
  std::vector<Gateway> gateways;
  Gateway& AddGateway();
  std::string_view scheduler = "weighted_round_robin";  // of every service
  void Compile();  // a new snapshot with a new forwarding generation
  core::Snapshot snapshot;

  // --- traffic ---
  struct Outcome {
    net::Verdict verdict{};
    bool answered = false;  // dropped, and its sender is told by an ICMP error
    bool leaves_in_fragments = false;
    core::PortId out_port = 0;
    Bytes frame;  // as it left, or its answer, when forwarded or answered
    Seen seen;    // the same taken apart
  };
  std::vector<Outcome> ReceiveBurst(core::PortId in_port, std::vector<Bytes> frames,
                                    uint32_t headroom = 128);
  // Frames get the destination MAC of the port that they arrive at.
  Outcome Receive(core::PortId in_port, const Bytes& frame);
  Outcome FromClient(const Segment& segment, const IpFields& fields = {});
  Outcome FromBackend(const Segment& segment, const IpFields& fields = {});
  Outcome FromClient(const Datagram& datagram, const IpFields& fields = {});
  Outcome FromBackend(const Datagram& datagram, const IpFields& fields = {});

  // --- time ---
  void Pass(uint64_t milliseconds) { now_ns += milliseconds * 1'000'000; }
  void Expire(uint32_t budget = 1'000'000);
  uint64_t now_ns;

  core::SessionTable& sessions() { return *sessions_; }
  core::WorkerState& worker() { return *worker_; }
  core::Pipeline& pipeline() { return *pipeline_; }
  core::FlowState* StateOf(const net::FlowKey& key);
  std::vector<core::Neighbour> MissingNeighbours();

 private:
  // As it came, or as a service with PROXY headers makes it: with one, or cut off.
  bool IsPayloadOf(const Bytes& payload, const Seen& before) const;
  void CheckForwarded(const Bytes& in, const Outcome& out) const;
  void CheckAnswer(const Bytes& in, const Outcome& out) const;
  void CheckLinkLayer(const Outcome& out) const;

  struct AlignedFree {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
  };
  using AlignedMemory = std::unique_ptr<std::byte[], AlignedFree>;
  static AlignedMemory Allocate(size_t bytes);

  AlignedMemory memory_;
  AlignedMemory reassembly_memory_;
  std::unique_ptr<core::Reassembler> reassembler_;
  std::unique_ptr<core::SessionTable> sessions_;
  std::unique_ptr<core::WorkerState> worker_;
  std::unique_ptr<core::Pipeline> pipeline_;
};

}  // namespace steelyard::test
