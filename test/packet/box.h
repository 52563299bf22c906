// SPDX-License-Identifier: Apache-2.0
//
// A box in memory: pipelines of one worker or several with two ports, a clock that only the test
// moves, and a configuration that the test writes. Bursts arrive at the workers in turn, as by a
// port that does not steer, or packet by packet where a port that does would bring them; what is
// handed off arrives at once.
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
#include "core/session_adoption.h"
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

// STEELYARD_WORKERS, so that tests that are not about a worker's inside can be run with several.
uint32_t WorkersOfEnvironment();

class Box {
 public:
  struct Options {
    core::SessionCapacity capacity{256, 256};
    core::ReassemblyLimits reassembly;  // none: fragments are dropped
    core::HashSecret secret;
    uint32_t workers = WorkersOfEnvironment();
    bool ports_steer = false;
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

  // What the next process does with the sessions of one that was killed; all slots are known to it.
  core::AdoptionReport Adopt();

  // --- time ---
  void Pass(uint64_t milliseconds) { now_ns += milliseconds * 1'000'000; }
  void Expire(uint32_t budget = 1'000'000);
  uint64_t now_ns;

  core::SessionTable& sessions(uint32_t worker = 0) { return *workers_[worker]->sessions; }
  core::WorkerState& worker(uint32_t worker = 0) { return workers_[worker]->state; }
  core::Pipeline& pipeline(uint32_t worker = 0) { return *workers_[worker]->pipeline; }
  uint32_t worker_count() const { return static_cast<uint32_t>(workers_.size()); }
  uint64_t handed_off_packets = 0;
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

  struct WorkerParts {
    core::WorkerState state{1};
    AlignedMemory memory;
    AlignedMemory reassembly_memory;
    std::unique_ptr<core::Reassembler> reassembler;
    std::unique_ptr<core::SessionTable> sessions;
    std::unique_ptr<core::Pipeline> pipeline;
  };
  void AddWorker(const Options& options);
  // Where a port that steers would bring it.
  uint32_t QueueOf(core::PortId in_port, const net::Packet& packet) const;
  // Processes packets at a worker and, those that it hands off, at theirs. The results stand in
  // `whole` at the packets' places.
  void ProcessAt(uint32_t worker, core::Burst& burst, const std::vector<uint32_t>& places,
                 core::Burst& whole);

  std::vector<std::unique_ptr<WorkerParts>> workers_;
  uint32_t next_worker_ = 0;  // that a burst arrives at
  const bool ports_steer_;
  // The environment asks for it: every test then says as well that a restart changes nothing.
  const bool adopts_before_every_burst_;
};

}  // namespace steelyard::test
