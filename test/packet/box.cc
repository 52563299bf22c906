// SPDX-License-Identifier: Apache-2.0
#include "packet/box.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

namespace steelyard::test {

using net::L4Protocol;
using net::Verdict;

net::Endpoint Backend4(uint8_t number) {
  return Host(("10.0.2." + std::to_string(11 + number)).c_str(), 8080);
}
net::Endpoint Backend6(uint8_t number) {
  return Host(("fd00:2::" + std::to_string(11 + number)).c_str(), 8080);
}
net::MacAddress MacOf(const net::IpAddress& host) {
  const auto& bytes = host.v6().bytes;
  return {{0x06, bytes[1], bytes[3], bytes[13], bytes[14], bytes[15]}};
}

Box::AlignedMemory Box::Allocate(size_t bytes) {
  return AlignedMemory(new (std::align_val_t{64}) std::byte[bytes]);
}

Box::Box() : Box(Options{}) {}

core::AdoptionReport Box::Adopt() {
  const auto now_ms = static_cast<uint32_t>(now_ns / 1'000'000);
  static const core::KnownSlots known{std::vector<bool>(core::kMaxServices, true),
                                      std::vector<bool>(core::kMaxBackends, true)};
  // Counters of its own: those of the box go on counting for the test.
  static core::WorkerState counters(1);
  core::AdoptionReport report;
  for (const auto& worker : workers_) {
    report.Add(core::AdoptInPlace(*worker->sessions, known, worker_count(), now_ms));
    const uint64_t sessions_before = counters.counters.sessions_active();
    report.Add(core::FinishAdoption(*worker->sessions, counters, now_ms, 0));
    EXPECT_EQ(counters.counters.sessions_active() - sessions_before,
              worker->state.counters.sessions_active());
  }
  return report;
}

void Box::AddWorker(const Options& options) {
  auto worker = std::make_unique<WorkerParts>();
  const size_t bytes = core::SessionTable::RequiredBytes(options.capacity);
  worker->memory = Allocate(bytes);
  std::memset(worker->memory.get(), 0, bytes);
  worker->sessions = std::make_unique<core::SessionTable>(std::span(worker->memory.get(), bytes),
                                                          options.capacity, options.secret);
  if (options.reassembly.datagrams != 0) {
    const size_t reassembly_bytes = core::Reassembler::RequiredBytes(options.reassembly);
    worker->reassembly_memory = Allocate(reassembly_bytes);
    worker->reassembler = std::make_unique<core::Reassembler>(
        std::span(worker->reassembly_memory.get(), reassembly_bytes), options.reassembly,
        options.secret);
    worker->state.reassembler = worker->reassembler.get();
  }
  worker->pipeline =
      std::make_unique<core::Pipeline>(worker_count(), *worker->sessions, worker->state, now_ns);
  workers_.push_back(std::move(worker));
}

uint32_t WorkersOfEnvironment() {
  const char* text = std::getenv("STEELYARD_WORKERS");
  return text == nullptr ? 1 : static_cast<uint32_t>(std::atoi(text));
}

Box::Box(const Options& options)
    : now_ns(options.now_ns),
      ports_steer_(options.ports_steer),
      adopts_before_every_burst_(std::getenv("STEELYARD_ADOPT_BEFORE_EVERY_BURST") != nullptr) {
  for (uint32_t i = 0; i < options.workers; ++i) AddWorker(options);
  if (options.workers > 1)
    snapshot.steering = std::make_shared<const core::Steering>(options.workers);
  // Of a single worker all packets are its own, and they may go the short way.
  snapshot.checks_ownership = options.workers > 1;
  snapshot.unix_epoch_offset_ns = 1'700'000'000'000'000'000;

  for (const net::MacAddress& mac : kPortMac) ports.push_back({mac, 1500});
  const auto via = [](core::PortId port, const char* gateway) {
    return std::vector{core::Gateway{port, Address(gateway)}};
  };
  const auto on_link = [](core::PortId port) { return std::vector{core::Gateway{port, {}}}; };
  routes.routes[*net::ParsePrefix("0.0.0.0/0")] = via(kClientPort, "10.0.1.1");
  routes.routes[*net::ParsePrefix("::/0")] = via(kClientPort, "fd00:1::1");
  routes.routes[*net::ParsePrefix("10.0.1.0/24")] = on_link(kClientPort);
  routes.routes[*net::ParsePrefix("fd00:1::/64")] = on_link(kClientPort);
  routes.routes[*net::ParsePrefix("10.0.2.0/24")] = on_link(kBackendPort);
  routes.routes[*net::ParsePrefix("fd00:2::/64")] = on_link(kBackendPort);
  for (const char* host : {"10.0.1.1", "fd00:1::1"})
    routes.neighbours[{kClientPort, Address(host)}] = MacOf(Address(host));
  for (uint8_t number = 0; number < 40; ++number)
    for (const net::Endpoint& backend : {Backend4(number), Backend6(number)})
      routes.neighbours[{kBackendPort, backend.address}] = MacOf(backend.address);
  Compile();
}

core::Service& Box::AddService(const net::Endpoint& address, L4Protocol protocol,
                               size_t backend_count) {
  core::Service service;
  service.name = "service" + std::to_string(services.size());
  service.address = address;
  service.protocol = protocol;
  service.mode = mode;
  service.local_addresses = {address.address.is_v4() ? kLocal4 : kLocal6};
  for (uint8_t i = 0; i < backend_count; ++i)
    service.backends.push_back({.endpoint = address.address.is_v4() ? Backend4(i) : Backend6(i),
                                .weight = 1,
                                .available = true,
                                .keeps_sessions = true,
                                .slot = static_cast<uint32_t>(services.size()) * 64 + i});
  services.push_back(std::move(service));
  return services.back();
}

void Box::AddUsualServices(size_t backend_count) {
  for (const net::Endpoint& address : {kVip4, kVip6})
    for (const L4Protocol protocol : {L4Protocol::kTcp, L4Protocol::kUdp})
      AddService(address, protocol, backend_count);
  Compile();
}

Box::Gateway& Box::AddGateway() {
  Gateway gateway;
  gateway.match.inside_prefixes = {*net::ParsePrefix("10.0.2.0/24"),
                                   *net::ParsePrefix("fd00:2::/64")};
  gateway.match.takes_tcp = gateway.match.takes_udp = gateway.match.takes_icmp = true;
  gateway.service.name = "gateway" + std::to_string(gateways.size());
  gateway.service.mode = &core::Snat();
  gateway.service.local_addresses = {kOutside4, kOutside6};
  gateway.service.backends = {{.available = true,
                               .keeps_sessions = true,
                               .slot = static_cast<uint32_t>(10'000 + gateways.size())}};
  gateways.push_back(std::move(gateway));
  return gateways.back();
}

core::Service& Box::service(const net::Endpoint& address, L4Protocol protocol) {
  return *std::find_if(services.begin(), services.end(), [&](const core::Service& service) {
    return service.address == address && service.protocol == protocol;
  });
}

void Box::Compile() {
  ++snapshot.generation;
  ++snapshot.forwarding_generation;
  snapshot.ports = ports;
  snapshot.network = std::make_shared<core::Network>(routes, ports);
  auto index = std::make_shared<core::ServiceIndex>();
  auto own = std::make_shared<core::AddressSet>();
  auto gateway_backends = std::make_shared<core::AddressSet>();
  snapshot.services.clear();
  for (core::ServiceSlot slot = 0; slot < services.size(); ++slot) {
    core::Service& service = services[slot];
    service.slot = slot;
    service.scheduler = core::FindSchedulerKind(scheduler)->make(service.backends);
    if (service.mode->is_one_way())
      service.stateless_scheduler = core::MakeMaglev(service.backends);
    (*index)[{service.address, service.protocol}] = slot;
    own->insert(service.address.address);
    for (const auto& local : {service.local_addresses.v4, service.local_addresses.v6})
      own->insert(local.begin(), local.end());
    if (service.mode->is_gateway())
      for (const core::Backend& backend : service.backends)
        gateway_backends->insert(backend.endpoint.address);
    snapshot.services.push_back(std::make_shared<core::Service>(service));
  }
  auto outbound_gateways = std::make_shared<core::OutboundGateways>();
  auto outside = std::make_shared<core::AddressSet>();
  for (Gateway& gateway : gateways) {
    gateway.service.slot = static_cast<uint32_t>(snapshot.services.size());
    gateway.match.service = std::make_shared<core::Service>(gateway.service);
    snapshot.services.push_back(gateway.match.service);
    outbound_gateways->push_back(gateway.match);
    const core::LocalAddresses& addresses = gateway.service.local_addresses;
    for (const auto& list : {addresses.v4, addresses.v6}) outside->insert(list.begin(), list.end());
  }
  own->insert(outside->begin(), outside->end());
  std::vector<const core::Service*> compiled;
  for (const auto& service : snapshot.services) compiled.push_back(service.get());
  snapshot.home_rules = std::make_shared<const core::HomeRules>(
      core::MakeHomeRules(compiled, *snapshot.home_rules, [](uint32_t) { return true; }));
  snapshot.outbound_gateways = std::move(outbound_gateways);
  snapshot.outside_addresses = std::move(outside);
  snapshot.gateway_backends = std::move(gateway_backends);
  snapshot.index = std::move(index);
  snapshot.own_addresses = std::move(own);
}

// --- traffic -----------------------------------------------------------------------------------

uint32_t Box::QueueOf(core::PortId in_port, const net::Packet& packet) const {
  const net::ParsedPacket parsed = net::ParsePacket(packet, ports[in_port].mac);
  const bool is_hashed =
      parsed.packet_class == net::PacketClass::kFlow && !net::IsIcmp(parsed.protocol());
  return is_hashed ? snapshot.steering->OwnerOf(snapshot.steering->BucketOf(parsed.key())) : 0;
}

void Box::ProcessAt(uint32_t worker, core::Burst& burst, const std::vector<uint32_t>& places,
                    core::Burst& whole) {
  pipeline(worker).Process(snapshot, burst, now_ns);
  EXPECT_EQ(this->worker(worker).counters.foreign_packets.value(), 0u);
  std::map<uint32_t, std::vector<uint32_t>> handed_to;
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (burst.IsHandedOff(i)) {
      handed_to[burst.handed_to[i]].push_back(i);
      continue;
    }
    const uint32_t place = places[i];
    whole.packet[place] = burst.packet[i];
    whole.verdict[place] = burst.verdict[i];
    whole.out_port[place] = burst.out_port[i];
    whole.answered |= (burst.answered >> i & 1) << place;
    if (burst.LeavesInFragments(i)) whole.LeaveInFragments(place, burst.fragment_mtu[i]);
  }
  for (const auto& [target, indices] : handed_to) {
    ASSERT_NE(target, worker) << "it is there already";
    core::Burst passed_on;
    passed_on.in_port = burst.in_port;
    std::vector<uint32_t> their_places;
    for (const uint32_t i : indices) {
      passed_on.packet[passed_on.count] = burst.packet[i];
      passed_on.steered[passed_on.count++] = burst.steered[i];
      their_places.push_back(places[i]);
    }
    handed_off_packets += indices.size();
    ProcessAt(target, passed_on, their_places, whole);
  }
}

std::vector<Box::Outcome> Box::ReceiveBurst(core::PortId in_port, std::vector<Bytes> frames,
                                            uint32_t headroom) {
  core::Burst burst;
  burst.in_port = in_port;
  burst.count = static_cast<uint32_t>(frames.size());
  std::vector<std::unique_ptr<ExactBuffer>> buffers;
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (frames[i].size() >= 6) std::copy_n(ports[in_port].mac.bytes.begin(), 6, frames[i].begin());
    buffers.push_back(std::make_unique<ExactBuffer>(frames[i], headroom));
    burst.packet[i] = buffers.back()->packet();
    burst.verdict[i] = static_cast<Verdict>(0xff);
  }
  if (adopts_before_every_burst_) Adopt();
  const uint32_t next_worker = next_worker_++ % worker_count();
  std::map<uint32_t, std::vector<uint32_t>> arrivals;  // places by worker
  for (uint32_t i = 0; i < burst.count; ++i)
    arrivals[ports_steer_ ? QueueOf(in_port, burst.packet[i]) : next_worker].push_back(i);
  for (const auto& [worker, places] : arrivals) {
    core::Burst arrived;
    arrived.in_port = in_port;
    for (const uint32_t place : places) {
      arrived.steered[arrived.count] = ports_steer_ ? core::Steered::kByPort : core::Steered::kNot;
      arrived.packet[arrived.count++] = burst.packet[place];
    }
    ProcessAt(worker, arrived, places, burst);
  }

  std::vector<Outcome> outcomes;
  for (uint32_t i = 0; i < burst.count; ++i) {
    Outcome& out = outcomes.emplace_back();
    out.verdict = burst.verdict[i];
    EXPECT_LT(static_cast<size_t>(out.verdict), net::kVerdictCount);
    out.answered = (burst.answered >> i & 1) != 0;
    out.leaves_in_fragments = burst.LeavesInFragments(i);
    if (out.verdict == Verdict::kForwarded || out.answered) {
      out.out_port = burst.out_port[i];
      out.frame = BytesOf(burst.packet[i]);
      out.seen = Dissect(out.frame);
      EXPECT_EQ(burst.packet[i].data - burst.packet[i].headroom,
                buffers[i]->packet().data - headroom);
      if (out.answered)
        CheckAnswer(frames[i], out);
      else
        CheckForwarded(frames[i], out);
    } else if (out.verdict == Verdict::kPunted) {
      EXPECT_EQ(BytesOf(burst.packet[i]), frames[i]) << "the kernel gets what came";
    }
  }
  return outcomes;
}

bool Box::IsPayloadOf(const Bytes& payload, const Seen& before) const {
  if (payload == before.payload) return true;
  const bool gets_none = std::any_of(services.begin(), services.end(), [&](const auto& service) {
    return service.address == before.destination &&
           service.client_address.carrier != core::ClientAddressCarrier::kProxyV2;
  });
  const Bytes header = ProxyHeader(before.source, before.destination, before.protocol);
  return !gets_none && (payload.empty() || payload == Concat({header, before.payload}));
}

void Box::CheckForwarded(const Bytes& in, const Outcome& out) const {
  const Seen before = Dissect(in);
  if (before.trouble.empty() && mode == &core::Tunnel()) {
    EXPECT_EQ(out.seen.trouble, "");
  } else if (before.trouble.empty()) {
    EXPECT_EQ(out.seen.trouble, "");
    EXPECT_EQ(out.seen.ttl + (mode == &core::Direct() ? 0 : 1), before.ttl);
    EXPECT_EQ(out.seen.dscp_and_ecn, before.dscp_and_ecn);
    EXPECT_TRUE(IsPayloadOf(out.seen.payload, before));
    EXPECT_EQ(out.seen.flags, before.flags);
    EXPECT_EQ(out.frame.size(), 14 + out.seen.l3_bytes) << "padding travels on";
  }
  CheckLinkLayer(out);
}

void Box::CheckAnswer(const Bytes& in, const Outcome& out) const {
  EXPECT_TRUE(out.verdict == Verdict::kPacketTooBig || out.verdict == Verdict::kTtlExceeded);
  EXPECT_EQ(out.seen.trouble, "");
  const Seen before = Dissect(in);
  EXPECT_EQ(out.seen.destination.address, before.source.address);
  const bool too_big = out.verdict == Verdict::kPacketTooBig;
  const bool is_v4 = before.source.address.is_v4();
  EXPECT_EQ(out.seen.icmp_type, is_v4 ? (too_big ? 3 : 11) : (too_big ? 2 : 3));
  EXPECT_EQ(out.seen.icmp_code, is_v4 && too_big ? 4 : 0);
  EXPECT_LE(out.seen.l3_bytes, is_v4 ? 576u : 1280u);
  EXPECT_GE(out.seen.quoted.size(), std::min<size_t>(before.l3_bytes, 68));
  EXPECT_EQ(out.seen.quoted, Slice(in, 14, 14 + out.seen.quoted.size())) << "as it arrived";
  CheckLinkLayer(out);
}

void Box::CheckLinkLayer(const Outcome& out) const {
  ASSERT_LT(out.out_port, ports.size());
  EXPECT_EQ(out.seen.source_mac, ports[out.out_port].mac);
  if (!out.leaves_in_fragments) {
    EXPECT_LE(out.seen.l3_bytes, ports[out.out_port].mtu);
  }
  const net::MacAddress& to = out.seen.destination_mac;
  EXPECT_TRUE(std::any_of(routes.neighbours.begin(), routes.neighbours.end(), [&](const auto& at) {
    return at.first.port == out.out_port && at.second == to;
  }));
}

Box::Outcome Box::Receive(core::PortId in_port, const Bytes& frame) {
  return ReceiveBurst(in_port, {frame}).front();
}
Box::Outcome Box::FromClient(const Segment& segment, const IpFields& fields) {
  return Receive(kClientPort, TcpFrame(segment, fields));
}
Box::Outcome Box::FromBackend(const Segment& segment, const IpFields& fields) {
  return Receive(kBackendPort, TcpFrame(segment, fields));
}
Box::Outcome Box::FromClient(const Datagram& datagram, const IpFields& fields) {
  return Receive(kClientPort, UdpFrame(datagram, fields));
}
Box::Outcome Box::FromBackend(const Datagram& datagram, const IpFields& fields) {
  return Receive(kBackendPort, UdpFrame(datagram, fields));
}

void Box::Expire(uint32_t budget) {
  for (const auto& worker : workers_) worker->pipeline->Expire(snapshot, now_ns, budget);
}

core::FlowState* Box::StateOf(const net::FlowKey& key) {
  for (const auto& worker : workers_) {
    const core::FlowRef flow = worker->sessions->Find(key);
    if (flow != core::kNoFlow) return &worker->sessions->state(flow);
  }
  return nullptr;
}

std::vector<core::Neighbour> Box::MissingNeighbours() {
  std::vector<core::Neighbour> missing;
  for (const auto& worker : workers_)
    worker->state.missing_neighbours.TakeAll(
        [&](const core::Neighbour& neighbour) { missing.push_back(neighbour); });
  return missing;
}

}  // namespace steelyard::test
