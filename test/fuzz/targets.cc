// SPDX-License-Identifier: Apache-2.0
#include "fuzz/targets.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "core/fragment/fragmenter.h"
#include "core/fragment/reassembler.h"
#include "core/pipeline.h"
#include "net/parser.h"
#include "packet/packet_builder.h"
#include "packet/strange_frames.h"

namespace steelyard::test {

using net::PacketClass;
using net::ParsedPacket;
using net::Verdict;

namespace {

void Require(bool holds, const char* law) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", law);
  std::abort();
}

void RequireOffsetsInOrder(const ParsedPacket& parsed, size_t length) {
  Require(parsed.packet_class != PacketClass::kMalformed || net::InfoOf(parsed.malformed).is_drop,
          "malformed has a reason");
  const bool quotes = parsed.packet_class == PacketClass::kIcmpError;
  if (parsed.packet_class != PacketClass::kFlow && !quotes) return;
  Require(parsed.l4_offset >= net::kL3Offset + 20, "layer 4 is behind layer 3");
  Require(parsed.l4_offset + 8 <= parsed.payload_offset, "payload is behind layer 4");
  Require(parsed.payload_offset <= parsed.l3_end, "payload is inside");
  Require(parsed.l3_end <= length, "the packet is inside its frame");
  const int options = (quotes ? parsed.quoted_l4_offset : parsed.l4_offset) + 20;
  const int options_end = quotes ? parsed.l3_end : parsed.payload_offset;
  for (const auto& [offset, bytes] : {std::pair<int, int>{parsed.timestamps_offset, 10},
                                      {parsed.sack_offset, 10},
                                      {parsed.mss_offset, 4}})
    Require(offset == 0 || (offset >= options && offset + bytes <= options_end),
            "options are in the header");
  if (quotes) Require(parsed.quoted_l4_offset + 8 <= parsed.l3_end, "the quote is inside");
}

// Services whose backends get PROXY headers.
const net::Endpoint kProxyVip4{kVip4.address, net::Be16(81)};
const net::Endpoint kProxyVip6{kVip6.address, net::Be16(81)};
// Services whose backends are of the other family.
const net::Endpoint kNat46Vip{kVip4.address, net::Be16(82)};
const net::Endpoint kNat64Vip{kVip6.address, net::Be16(82)};

// Whom clients reach through the outbound gateway.
const net::Endpoint kElsewhere4 = Host("203.0.113.9", 443);
const net::Endpoint kElsewhere6 = Host("2001:db8:9::9", 443);

// A box whose big parts outlive an input; what an input can change is made anew.
class FuzzBox {
 public:
  explicit FuzzBox(core::WorkerState& worker) : worker_(worker) {
    std::memset(Memory(), 0, core::SessionTable::RequiredBytes(kCapacity));
    worker_.random.seed(1);
    worker_.icmp_errors = {core::kIcmpErrorsPerSecond, core::kIcmpErrorsAtOnce};
    std::fill_n(worker_.scheduler_cursors.begin(), 13, 0);
    worker_.exhausted_remotes = {};
    for (int slot = 0; slot < 26; ++slot) std::construct_at(&worker_.backends[slot]);
    reassembler_.emplace(ReassemblyMemory(), kReassembly, core::HashSecret());
    worker_.reassembler = &*reassembler_;
    sessions_.emplace(std::span(Memory(), core::SessionTable::RequiredBytes(kCapacity)), kCapacity,
                      core::HashSecret());
    pipeline_.emplace(0, *sessions_, worker_, now_ns_);
  }

  ~FuzzBox() { worker_.reassembler = nullptr; }
  FuzzBox(const FuzzBox&) = delete;
  FuzzBox& operator=(const FuzzBox&) = delete;

  void Add(uint8_t control, std::span<const uint8_t> frame) {
    if (control & 8) {
      now_ns_ += uint64_t{frame.size()} * 50'000'000;
      pipeline_->Expire(Configuration(), now_ns_, 16);
    }
    Bytes bytes(frame.begin(), frame.end());
    if (control & 16) TurnRound(bytes);
    if (control & 2) Repair(bytes);
    frames_.push_back(std::move(bytes));
    if (frames_.size() == core::kBurstCapacity || (control & 4)) Process(control & 1);
    if (control & 32) ++Configuration().forwarding_generation;
  }

  void Process(core::PortId in_port) {
    core::Burst burst;
    burst.in_port = in_port;
    std::vector<std::unique_ptr<ExactBuffer>> buffers;
    for (const Bytes& frame : frames_) {
      buffers.push_back(std::make_unique<ExactBuffer>(frame, 64));
      burst.packet[burst.count] = buffers.back()->packet();
      burst.verdict[burst.count++] = static_cast<Verdict>(0xff);
    }
    ProcessAndCheck(burst);
    ProcessReassembled(in_port);
  }

 private:
  static constexpr core::SessionCapacity kCapacity{12, 12};
  static constexpr core::ReassemblyLimits kReassembly{4, 3};

  void ProcessAndCheck(core::Burst& burst) {
    pipeline_->Process(Configuration(), burst, now_ns_);
    for (uint32_t i = 0; i < burst.count; ++i) Check(burst, i);
    Require(sessions_->size() == InUse() - in_use_before_, "sessions and templates are counted");
    frames_.clear();
  }

  void ProcessReassembled(core::PortId in_port) {
    core::Burst burst;
    burst.in_port = in_port;
    while (reassembler_->HasComplete()) {
      reassembler_->TakeComplete(burst);
      for (uint32_t i = 0; i < burst.count; ++i) {
        frames_.push_back(BytesOf(burst.packet[i]));
        Require(net::ParsePacket(burst.packet[i], kPortMac[in_port]).packet_class !=
                    PacketClass::kFragment,
                "what is put together is no fragment");
      }
      ProcessAndCheck(burst);
      reassembler_->ReleaseTaken();
    }
    Require(reassembler_->size() <= kReassembly.datagrams, "the reassembler keeps its limit");
  }

  uint64_t InUse() const {
    const core::WorkerCounters& counters = worker_.counters;
    return counters.sessions_active() + counters.templates_created.value() -
           counters.templates_ended.value();
  }

  static std::span<std::byte> ReassemblyMemory() {
    static const size_t bytes = core::Reassembler::RequiredBytes(kReassembly);
    static auto* const memory = new (std::align_val_t{64}) std::byte[bytes];
    return {memory, bytes};
  }

  static std::byte* Memory() {
    alignas(64) static std::byte memory[256 * 1024];
    Require(core::SessionTable::RequiredBytes(kCapacity) <= sizeof memory, "it fits");
    return memory;
  }

  static core::Snapshot& Configuration() {
    static core::Snapshot snapshot = MakeSnapshot();
    return snapshot;
  }

  static core::Snapshot MakeSnapshot() {
    core::Snapshot snapshot;
    snapshot.ports = {{kPortMac[0], 1500}, {kPortMac[1], 400}};
    core::NetworkDescription network;
    for (const core::PortId port : {core::PortId{0}, core::PortId{1}})
      for (const char* router : {"10.0.0.1", "fd00::1"})
        network.neighbours[{port, Address(router)}] = kSomeMac;
    network.routes[*net::ParsePrefix("0.0.0.0/0")] = {{0, Address("10.0.0.1")}};
    network.routes[*net::ParsePrefix("::/0")] = {{0, Address("fd00::1")}};
    network.routes[*net::ParsePrefix("10.0.2.0/24")] = {{1, Address("10.0.0.1")}};
    network.routes[*net::ParsePrefix("fd00:2::/64")] = {{1, Address("fd00::1")}};
    snapshot.network = std::make_shared<core::Network>(network, snapshot.ports);
    auto index = std::make_shared<core::ServiceIndex>();
    auto own = std::make_shared<core::AddressSet>();
    for (const net::Endpoint& address :
         {kVip4, kVip6, kProxyVip4, kProxyVip6, kNat46Vip, kNat64Vip})
      for (const net::L4Protocol protocol : {net::L4Protocol::kTcp, net::L4Protocol::kUdp}) {
        const bool v4 = address.address.is_v4();
        auto service = std::make_shared<core::Service>();
        service->slot = static_cast<core::ServiceSlot>(snapshot.services.size());
        service->address = address;
        service->protocol = protocol;
        service->mode = &core::FullNat();
        const bool to_v4 = v4 != (address == kNat46Vip || address == kNat64Vip);
        service->local_addresses = {to_v4 ? Address("10.0.2.100") : Address("fd00:2::100")};
        service->client_address = {.carrier = address == kProxyVip4 || address == kProxyVip6
                                                  ? core::ClientAddressCarrier::kProxyV2
                                                  : core::ClientAddressCarrier::kToa,
                                   .toa_on_syn = v4,
                                   .first_datagram_only = v4};
        for (const char* host : {"10.0.2.11", "10.0.2.12"})
          service->backends.push_back(
              {.endpoint = to_v4 ? Host(host, 8080) : Host("fd00:2::11", host[8]),
               .weight = 1,
               .available = true,
               .keeps_sessions = host[8] == '1',
               .slot = service->slot * 2 + (host[8] == '2')});
        service->scheduler = core::MakeWeightedLeastConnections(service->backends);
        (*index)[{service->address, protocol}] = service->slot;
        own->insert(service->address.address);
        snapshot.services.push_back(std::move(service));
      }
    AddGateway(snapshot, *own);
    snapshot.index = std::move(index);
    snapshot.own_addresses = std::move(own);
    return snapshot;
  }

  // What the clients send to others than the VIPs leaves by it.
  static void AddGateway(core::Snapshot& snapshot, core::AddressSet& own) {
    auto service = std::make_shared<core::Service>();
    service->slot = static_cast<core::ServiceSlot>(snapshot.services.size());
    service->mode = &core::Snat();
    service->local_addresses = {Address("10.0.2.200"), Address("fd00:2::200")};
    service->endpoint_independent_udp = true;
    service->backends = {{.available = true, .keeps_sessions = true, .slot = service->slot * 2}};
    core::OutboundGateway gateway;
    for (const net::IpAddress& inside : {kClient4.address, kClient6.address})
      gateway.inside_prefixes.push_back(net::NetworkOf(inside, inside.bit_length()));
    gateway.takes_tcp = gateway.takes_udp = gateway.takes_icmp = true;
    gateway.service = service;
    auto outside = std::make_shared<core::AddressSet>();
    for (const auto& address : {service->local_addresses.v4[0], service->local_addresses.v6[0]}) {
      outside->insert(address);
      own.insert(address);
    }
    snapshot.services.push_back(service);
    snapshot.outbound_gateways =
        std::make_shared<core::OutboundGateways>(core::OutboundGateways{gateway});
    snapshot.outside_addresses = std::move(outside);
  }

  static void Repair(Bytes& frame) {
    if (frame.size() < 34) return;
    std::copy_n(kPortMac[0].bytes.begin(), 5, frame.begin());
    if (frame[12] == 0x86 && frame.size() >= 54)
      Set16(frame, 18, static_cast<uint16_t>(std::min<size_t>(frame.size() - 54, 0xffff)));
    if (frame[12] == 0x08) {
      Set16(frame, 16, static_cast<uint16_t>(std::min<size_t>(frame.size() - 14, 0xffff)));
      FixIpv4Checksum(frame);
    }
  }

  // Gives the frame the flow of what was forwarded last, in the other direction.
  void TurnRound(Bytes& frame) const {
    const size_t addresses = frame.size() > 14 && frame[12] == 0x86 ? 22 : 26;
    const size_t bytes = addresses == 22 ? 16 : 4;
    const size_t ports = addresses + 2 * bytes;
    if (frame.size() < ports + 4 || last_forwarded_.size() < ports + 4 ||
        frame[12] != last_forwarded_[12])
      return;
    const auto copy = [&](size_t from, size_t to, size_t count) {
      std::copy_n(last_forwarded_.begin() + static_cast<long>(from), count,
                  frame.begin() + static_cast<long>(to));
    };
    copy(addresses, addresses + bytes, bytes);
    copy(addresses + bytes, addresses, bytes);
    copy(ports, ports + 2, 2);
    copy(ports + 2, ports, 2);
  }

  void CheckAnswer(const core::Burst& burst, uint32_t i) const {
    Require(burst.verdict[i] == Verdict::kPacketTooBig || burst.verdict[i] == Verdict::kTtlExceeded,
            "only what is dropped for one of these is answered");
    Require(burst.out_port[i] < Configuration().ports.size(), "an answer leaves by a port");
    const Seen before = Dissect(frames_[i]);
    const Seen answer = Dissect(BytesOf(burst.packet[i]));
    Require(answer.trouble.empty(), "an answer is right");
    Require(answer.destination.address == before.source.address, "an answer is to the sender");
    Require(answer.quoted == Slice(frames_[i], 14, 14 + answer.quoted.size()),
            "an answer quotes what arrived");
    Require(answer.l3_bytes <= Configuration().ports[burst.out_port[i]].mtu, "an answer fits");
  }

  // They are no longer than was said, and whoever puts them together has the packet again.
  static void CheckFragments(const core::Burst& burst, uint32_t i) {
    const net::Packet& packet = burst.packet[i];
    const core::Fragmenter fragmenter(packet, burst.fragment_mtu[i], 1);
    std::vector<Bytes> fragments;
    for (uint32_t number = 0; number < fragmenter.count(); ++number) {
      Bytes& fragment = fragments.emplace_back(net::kL3Offset + burst.fragment_mtu[i]);
      fragment.resize(fragmenter.Write(number, fragment.data()));
    }
    if (fragments.size() <= 1) return;
    // The test's own code knows the headers that every fragment repeats.
    const Bytes whole = BytesOf(packet);
    const bool is_plain = whole[12] == 0x08 ? whole[14] == 0x45 : whole[20] == 6 || whole[20] == 17;
    if (is_plain)
      Require(Dissect(Defragmented(fragments)).l4 == Dissect(whole).l4, "fragments are the packet");
  }

  void Check(const core::Burst& burst, uint32_t i) {
    Require(static_cast<size_t>(burst.verdict[i]) < net::kVerdictCount, "one verdict a packet");
    const Bytes out = BytesOf(burst.packet[i]);
    if (burst.verdict[i] == Verdict::kPunted) Require(out == frames_[i], "punted as it came");
    const bool is_sent =
        burst.verdict[i] == Verdict::kForwarded || burst.verdict[i] == Verdict::kPunted;
    Require(!burst.is_reassembled || !is_sent || burst.LeavesInFragments(i),
            "a slot's packet leaves as copies");
    if (is_sent && burst.LeavesInFragments(i)) CheckFragments(burst, i);
    if (burst.answered >> i & 1) return CheckAnswer(burst, i);
    if (burst.verdict[i] != Verdict::kForwarded) return;
    last_forwarded_ = out;
    Require(burst.out_port[i] < Configuration().ports.size(), "it leaves by a port");
    const ParsedPacket parsed = net::ParsePacket(burst.packet[i], kSomeMac);
    Require(parsed.packet_class == PacketClass::kFlow ||
                parsed.packet_class == PacketClass::kIcmpError ||
                parsed.packet_class == PacketClass::kOther,  // as a source that the parser leaves
            "what leaves is well-formed");
    RequireOffsetsInOrder(parsed, out.size());
    const Seen before = Dissect(frames_[i]);
    const Seen after = Dissect(out);
    if (before.trouble.empty()) Require(after.trouble.empty(), "right checksums stay right");
    if (before.trouble == "layer 4 checksum")
      Require(after.trouble == before.trouble, "corruption stays visible");
    // Of a session that an earlier packet of the burst may have changed, nothing is known.
    if (burst.count == 1) RequireNothingInTheHeadersPlace(before, after);
  }

  // Until the backend has the PROXY header whole, nobody but the box writes where it stands.
  void RequireNothingInTheHeadersPlace(const Seen& before, const Seen& after) const {
    const core::FlowRef flow =
        sessions_->Find(net::FlowKey(before.source, before.destination, net::L4Protocol::kTcp));
    if (before.protocol != 6 || flow == core::kNoFlow ||
        core::DirectionOf(flow) == core::Direction::kReverse ||
        (sessions_->state(flow).flags & core::kFlowProxyHeaderPending) == 0)
      return;
    const Bytes header = ProxyHeader(before.source, before.destination, 6);
    const auto place = static_cast<int32_t>(
        after.sequence - sessions_->record(core::SessionOf(flow)).initial_sequence - 1 -
        sessions_->state(flow).sequence_delta);
    const bool begins_with_header = after.payload.size() >= header.size() &&
                                    std::equal(header.begin(), header.end(), after.payload.begin());
    Require(after.payload.empty() || (place == 0 && begins_with_header) ||
                place >= static_cast<int32_t>(header.size()),
            "the header's place is the header's");
  }

  core::WorkerState& worker_;
  uint64_t in_use_before_ = InUse();
  std::optional<core::SessionTable> sessions_;
  std::optional<core::Reassembler> reassembler_;
  std::optional<core::Pipeline> pipeline_;
  uint64_t now_ns_ = 1'000'000'000;
  std::vector<Bytes> frames_;
  Bytes last_forwarded_;
};

void PutFrame(Bytes& stream, uint8_t control, const Bytes& frame) {
  Put8(stream, control);
  Put16(stream, static_cast<uint16_t>(frame.size()));
  Put(stream, frame);
}

// Datagrams and a SYN in pieces: in order, the other way round, with a gap that a later one fills,
// with one that overlaps, and with one that never comes.
std::vector<Bytes> FragmentSeeds(const net::Endpoint& client, const net::Endpoint& vip) {
  const Bytes datagram = UdpFrame({.source = client, .destination = vip, .payload = Pattern(900)});
  const Bytes syn = TcpFrame({.source = client,
                              .destination = vip,
                              .flags = net::kTcpSyn,
                              .options = MssOption(1460),
                              .payload = Pattern(40)});
  std::vector<Bytes> pieces = Fragments(datagram, {320, 640});
  std::vector<Bytes> seeds(4);
  for (const Bytes& piece : pieces) PutFrame(seeds[0], 2, piece);
  for (const Bytes& piece : Fragments(syn, {24, 48}, 78)) PutFrame(seeds[0], 2, piece);
  std::swap(pieces[0], pieces[2]);
  for (const Bytes& piece : pieces) PutFrame(seeds[1], 2 | 4, piece);
  PutFrame(seeds[2], 2, pieces[0]);
  PutFrame(seeds[2], 2 | 4, Fragment(datagram, 8, 328, true));
  for (const Bytes& piece : pieces) PutFrame(seeds[2], 2 | 4, piece);
  PutFrame(seeds[3], 2 | 4, pieces[1]);
  PutFrame(seeds[3], 2 | 4 | 8, datagram);
  PutFrame(seeds[3], 2 | 4 | 8, pieces[0]);
  PutFrame(seeds[3], 2 | 4 | 32, pieces[2]);
  return seeds;
}

}  // namespace

void FuzzParsePacket(std::span<const uint8_t> bytes) {
  const ExactBuffer buffer(Bytes(bytes.begin(), bytes.end()));
  // The MAC is the frame's own: it is not what is looked for.
  net::MacAddress mac = kPortMac[0];
  if (bytes.size() >= 6) std::copy_n(bytes.begin(), 6, mac.bytes.begin());
  RequireOffsetsInOrder(net::ParsePacket(buffer.packet(), mac), bytes.size());
}

void FuzzPipeline(std::span<const uint8_t> bytes) {
  static const auto worker = std::make_unique<core::WorkerState>(1);
  FuzzBox box(*worker);
  while (bytes.size() >= 3) {
    const uint8_t control = bytes[0];
    const size_t length = std::min<size_t>(bytes[1] << 8 | bytes[2], bytes.size() - 3);
    box.Add(control, bytes.subspan(3, length));
    bytes = bytes.subspan(3 + length);
  }
  box.Process(0);
}

std::vector<Bytes> ParsePacketSeeds() {
  std::vector<Bytes> seeds = OrdinaryFrames();
  for (const StrangeFrame& strange : StrangeFrames())
    if (strange.frame.size() < 2000) seeds.push_back(strange.frame);
  return seeds;
}

std::vector<Bytes> PipelineSeeds() {
  std::vector<Bytes> seeds;
  for (const auto& [client, vip] :
       {std::pair(kClient4, kVip4), std::pair(kClient6, kVip6), std::pair(kClient4, kProxyVip4),
        std::pair(kClient6, kProxyVip6), std::pair(kClient4, kNat46Vip),
        std::pair(kClient6, kNat64Vip), std::pair(kClient4, kElsewhere4),
        std::pair(kClient6, kElsewhere6)}) {
    // What comes back has the backends' family, and gets its addresses by TurnRound.
    const bool other_family = vip == kNat46Vip || vip == kNat64Vip;
    const net::Endpoint& answerer = other_family ? (vip == kNat46Vip ? kVip6 : kVip4) : vip;
    const net::Endpoint& asker = other_family ? (vip == kNat46Vip ? kClient6 : kClient4) : client;
    const Bytes syn = TcpFrame({.source = client,
                                .destination = vip,
                                .flags = net::kTcpSyn,
                                .options = Concat({MssOption(1460), TimestampsOption(1, 0)})});
    const Bytes ack = TcpFrame({.source = client,
                                .destination = vip,
                                .flags = net::kTcpAck,
                                .options = Concat({Nops(2), TimestampsOption(2, 9)}),
                                .payload = Pattern(20)});
    const Bytes reply = TcpFrame(
        {.source = answerer,
         .destination = asker,
         .flags = net::kTcpSyn | net::kTcpAck,
         .options = Concat({MssOption(1460), TimestampsOption(9, 1), SackOption({{1, 2}})})});
    const Bytes fin =
        TcpFrame({.source = client, .destination = vip, .flags = net::kTcpFin | net::kTcpAck});
    const Bytes rst = TcpFrame({.source = client, .destination = vip, .flags = net::kTcpRst});
    Bytes conversation;
    PutFrame(conversation, 2 | 4, syn);
    PutFrame(conversation, 2 | 4 | 16, reply);
    PutFrame(conversation, 2, ack);
    PutFrame(conversation, 2 | 4 | 32, ack);
    PutFrame(conversation, 2 | 4 | 16, reply);
    PutFrame(conversation, 2 | 4, fin);
    PutFrame(conversation, 2 | 4, rst);
    PutFrame(conversation, 2 | 4 | 8, syn);
    seeds.push_back(conversation);
    Bytes datagrams;
    const Bytes datagram = UdpFrame({.source = client, .destination = vip, .payload = Pattern(9)});
    PutFrame(datagrams, 2, datagram);
    PutFrame(datagrams, 2 | 4 | 32, datagram);
    PutFrame(datagrams, 2 | 4 | 16,
             UdpFrame({.source = answerer, .destination = asker, .payload = Pattern(9)}));
    PutFrame(datagrams, 2 | 4 | 8, datagram);
    seeds.push_back(datagrams);
    Bytes pings;
    for (const int type : {client.address.is_v4() ? 8 : 128, client.address.is_v4() ? 0 : 129})
      PutFrame(pings, 2 | 4,
               IcmpFrame(client.address, vip.address, static_cast<uint8_t>(type), 0, 77 << 16 | 1,
                         Pattern(56)));
    seeds.push_back(pings);
    // Too large for the way out; out of time.
    Bytes refused;
    PutFrame(refused, 2,
             UdpFrame({.source = client, .destination = vip, .payload = Pattern(1400)}));
    PutFrame(refused, 2 | 4, UdpFrame({.source = client, .destination = vip}, {.ttl = 1}));
    seeds.push_back(refused);
    // An error about the client's own packet, as the backend's side would send it back.
    Bytes error;
    PutFrame(error, 2 | 4, datagram);
    const Bytes quoted = Slice(UdpFrame({.source = vip, .destination = client}), 14,
                               client.address.is_v4() ? 42 : 62);
    const bool v4 = client.address.is_v4();
    PutFrame(error, 2 | 4,
             IcmpFrame(client.address, vip.address, v4 ? 3 : 2, v4 ? 4 : 0, 1400, quoted));
    seeds.push_back(error);
    for (const Bytes& fragments : FragmentSeeds(client, vip)) seeds.push_back(fragments);
  }
  Bytes mixture;
  for (const Bytes& frame : OrdinaryFrames()) PutFrame(mixture, 2, frame);
  seeds.push_back(mixture);
  return seeds;
}

}  // namespace steelyard::test
