// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline.h"

#include <algorithm>

#include "core/forward/proxy_protocol.h"
#include "core/icmp_answer.h"
#include "core/icmp_error.h"
#include "core/persistence.h"
#include "core/scheduler/availability.h"
#include "core/token_bucket.h"
#include "net/checksum.h"
#include "net/wire.h"

namespace steelyard::core {

using net::HeaderAt;
using net::L4Protocol;
using net::PacketClass;
using net::ParsedPacket;
using net::Verdict;

Pipeline::Pipeline(uint32_t worker_index, SessionTable& sessions, WorkerState& worker,
                   uint64_t now_ns)
    : worker_index_(worker_index), sessions_(sessions), worker_(worker) {
  sessions_.timers().Start(Milliseconds(now_ns));
}

void Pipeline::Process(const Snapshot& snapshot, Burst& burst, uint64_t now_ns) {
  const PacketContext context{snapshot,      sessions_, worker_,
                              burst.in_port, now_ns,    Milliseconds(now_ns)};
  burst.answered = 0;
  Parse(snapshot, burst);
  burst.leaves_in_fragments = 0;
  if (burst.is_reassembled) [[unlikely]]
    MarkReassembled(snapshot, burst);
  HashKeys(burst.count);
  PickCandidates(burst.count);
  ConfirmSessions(burst.count);
  Finish(context, burst);
}

// --- the stages --------------------------------------------------------------------------------

void Pipeline::Parse(const Snapshot& snapshot, const Burst& burst) {
  constexpr uint32_t kAhead = 4;
  for (uint32_t i = 0; i < burst.count && i < kAhead; ++i) __builtin_prefetch(burst.packet[i].data);
  const net::MacAddress& port_mac = snapshot.ports[burst.in_port].mac;
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (i + kAhead < burst.count) __builtin_prefetch(burst.packet[i + kAhead].data);
    parsed_[i] = net::ParsePacket(burst.packet[i], port_mac);
  }
}

void Pipeline::HashKeys(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const ParsedPacket& parsed = parsed_[i];
    if (parsed.packet_class != PacketClass::kFlow) continue;
    hash_[i] = parsed.family == net::Family::kIpv4 ? KeyHash(parsed.v4, sessions_.secret())
                                                   : KeyHash(parsed.v6, sessions_.secret());
    sessions_.PrefetchBucket(hash_[i]);
  }
}

void Pipeline::PickCandidates(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (parsed_[i].packet_class != PacketClass::kFlow) continue;
    flow_[i] = sessions_.Candidate(hash_[i]);
    sessions_.PrefetchFlow(flow_[i]);
  }
}

void Pipeline::ConfirmSessions(uint32_t count) {
  found_at_change_ = sessions_.change_count();
  for (uint32_t i = 0; i < count; ++i) {
    const ParsedPacket& parsed = parsed_[i];
    if (parsed.packet_class != PacketClass::kFlow) continue;
    flow_[i] = parsed.family == net::Family::kIpv4
                   ? sessions_.Confirm(flow_[i], parsed.v4, hash_[i])
                   : sessions_.Confirm(flow_[i], parsed.v6, hash_[i]);
    if (flow_[i] != kNoFlow)
      __builtin_prefetch(&worker_.backends[sessions_.state(flow_[i]).backend_slot], 1);
  }
}

void Pipeline::Finish(const PacketContext& context, Burst& burst) {
  for (uint32_t i = 0; i < burst.count; ++i) burst.verdict[i] = FinishPacket(context, burst, i);
}

Verdict Pipeline::FinishPacket(const PacketContext& context, Burst& burst, uint32_t i) {
  const ParsedPacket& parsed = parsed_[i];
  switch (parsed.packet_class) {
    case PacketClass::kFlow:
      return FinishFlow(context, burst, i);
    case PacketClass::kIcmpError:
      return FinishIcmpError(context, burst, i);
    case PacketClass::kTunnelError:
      return FinishTunnelError(context, burst.packet[i], parsed, 0);
    case PacketClass::kFragment:
      return FinishFragment(context, burst.packet[i], parsed);
    case PacketClass::kMalformed:
      return parsed.malformed;
    case PacketClass::kOther:
      break;
  }
  return Verdict::kPunted;
}

// --- a packet of a flow ------------------------------------------------------------------------

namespace {

// False when it ran out. The link layer is the last thing written.
bool DecrementTtl(const ParsedPacket& parsed, net::Packet& packet) {
  if (parsed.family == net::Family::kIpv6) {
    auto& ip = HeaderAt<net::Ipv6Header>(packet, net::kL3Offset);
    if (ip.hop_limit <= 1) return false;
    --ip.hop_limit;
    return true;
  }
  auto& ip = HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
  if (ip.ttl <= 1) return false;
  const net::Be16 before(static_cast<uint16_t>(ip.ttl << 8 | ip.protocol));
  --ip.ttl;
  const net::Be16 after(static_cast<uint16_t>(ip.ttl << 8 | ip.protocol));
  ip.checksum = net::ChecksumDelta().Replace(before, after).ApplyTo(ip.checksum);
  return true;
}

void SetLinkLayer(const NextHop& next_hop, net::Packet& packet) {
  auto& ethernet = HeaderAt<net::EthernetHeader>(packet, 0);
  ethernet.destination = next_hop.destination;
  ethernet.source = next_hop.source;
}

// Ethernet padding of short frames does not travel on.
void TrimPadding(const ParsedPacket& parsed, net::Packet& packet) {
  packet.length = parsed.l3_end;
}

}  // namespace

FlowRef Pipeline::FindAgain(uint32_t i) const {
  const ParsedPacket& parsed = parsed_[i];
  return parsed.family == net::Family::kIpv4 ? sessions_.Find(parsed.v4, hash_[i])
                                             : sessions_.Find(parsed.v6, hash_[i]);
}

Verdict Pipeline::FinishFlow(const PacketContext& context, Burst& burst, uint32_t i) {
  // An earlier packet of this burst may have opened or ended this very session.
  FlowRef flow = found_at_change_ == sessions_.change_count() ? flow_[i] : FindAgain(i);
  if (flow != kNoFlow && IsOver(context, flow, parsed_[i])) {
    EndSession(SessionOf(flow), context.now_ms);
    flow = kNoFlow;
  }
  if (flow == kNoFlow) {
    const Opened opened = Open(context, burst.packet[i], parsed_[i]);
    if (opened.stateless)
      return ForwardStateless(context, *opened.stateless, parsed_[i].key(), burst, i);
    if (opened.flow == kNoFlow) return opened.verdict;
    flow = opened.flow;
  }
  return ForwardFlow(context, burst, i, flow);
}

// Whether the packet is the first of a new session under the key of an old one.
bool Pipeline::IsOver(const PacketContext& context, FlowRef flow,
                      const ParsedPacket& parsed) const {
  if (DirectionOf(flow) != Direction::kForward) return false;
  if (parsed.protocol() != L4Protocol::kTcp)
    return IsStale(context, flow) && !BackendKeepsSession(context, flow);
  if (EventOf(parsed.tcp_flags) != TcpEvent::kSyn) return false;
  const FlowState& state = sessions_.state(flow);
  return state.flags & kFlowOneWay ? SynReopensOneWay(state.tcp_state)
                                   : SynReopens(state.tcp_state);
}

Verdict Pipeline::ForwardFlow(const PacketContext& context, Burst& burst, uint32_t i,
                              FlowRef flow) {
  ParsedPacket& parsed = parsed_[i];
  net::Packet& packet = burst.packet[i];
  FlowState& state = sessions_.state(flow);
  Verdict verdict = Verdict::kForwarded;
  if (!EnsureNextHop(context, flow, verdict)) return verdict;
  const NextHop& next_hop = context.snapshot.network->next_hop(state.next_hop);
  const ForwardingMode& mode = *ForwardingModes()[state.forwarding_mode];
  if (!Fits(context, flow, next_hop, burst, i)) {
    const uint16_t mtu = MtuTowards(context, next_hop, state.backend_slot);
    return RefuseTooBig(context, mtu, mode.MostAddedBytes(sessions_, flow), burst, i);
  }
  TrimPadding(parsed, packet);
  if ((state.flags & kFlowKeepsTtl) == 0 && !DecrementTtl(parsed, packet))
    return Refuse(context, {Verdict::kTtlExceeded}, parsed, burst, i);

  state.last_seen_ms = context.now_ms;
  Count(flow, state, packet.length);
  if (parsed.protocol() == L4Protocol::kTcp) TrackTcp(context, flow, parsed.tcp_flags);
  mode.Rewrite(context, flow, next_hop, parsed, packet);
  SetLinkLayer(next_hop, packet);
  burst.out_port[i] = next_hop.port;
  return verdict;
}

// To be told, the sender must have forbidden fragments, as every one does in IPv6.
Verdict Pipeline::RefuseTooBig(const PacketContext& context, uint16_t mtu, uint16_t added_bytes,
                               Burst& burst, uint32_t i) {
  const ParsedPacket& parsed = parsed_[i];
  if (parsed.family == net::Family::kIpv4 &&
      !HeaderAt<net::Ipv4Header>(burst.packet[i], net::kL3Offset).dont_fragment())
    return Verdict::kPacketTooBig;
  const uint16_t mtu_for_sender = MtuForSender(parsed.family, mtu, added_bytes);
  return Refuse(context, {Verdict::kPacketTooBig, mtu_for_sender}, parsed, burst, i);
}

// Of the link to the next hop, and of the path behind it as far as it is known.
uint16_t Pipeline::MtuTowards(const PacketContext& context, const NextHop& next_hop,
                              BackendSlot backend) const {
  return std::min(next_hop.mtu, worker_.path_mtus.Of(backend, context.now_ms));
}

bool Pipeline::Fits(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                    Burst& burst, uint32_t i) const {
  const FlowState& state = sessions_.state(flow);
  uint32_t bytes = parsed_[i].l3_end - net::kL3Offset;
  uint16_t mtu = next_hop.mtu;
  if (state.flags & (kFlowGrows | kFlowProxyHeaderPending)) [[unlikely]] {
    const net::Packet& packet = burst.packet[i];
    const uint16_t added_bytes =
        ForwardingModes()[state.forwarding_mode]->AddedBytes(context, flow, parsed_[i], packet);
    if (added_bytes > packet.headroom) return false;
    bytes += added_bytes;
    mtu = MtuTowards(context, next_hop, state.backend_slot);
  }
  if (bytes <= mtu && !burst.is_reassembled) [[likely]]
    return true;
  if (!MayBeFragmented(burst, i, (state.flags & kFlowGrows) != 0)) return false;
  burst.LeaveInFragments(i, FragmentMtu(burst, i, mtu));
  return true;
}

void Pipeline::Count(FlowRef flow, FlowState& state, uint32_t bytes) {
  ++state.packets;
  state.bytes += bytes;
  BackendCounters& backend = worker_.backends[state.backend_slot];
  if (DirectionOf(flow) == Direction::kForward) {
    backend.packets_to_backend.Add(1);
    backend.bytes_to_backend.Add(bytes);
  } else {
    backend.packets_to_client.Add(1);
    backend.bytes_to_client.Add(bytes);
  }
}

void Pipeline::TrackTcp(const PacketContext& context, FlowRef flow, uint8_t tcp_flags) {
  FlowState& state = sessions_.state(flow);
  const TcpState next = state.flags & kFlowOneWay
                            ? NextStateOneWay(state.tcp_state, tcp_flags)
                            : NextState(state.tcp_state, DirectionOf(flow), tcp_flags);
  if (next == state.tcp_state) [[likely]]
    return;
  state.tcp_state = next;
  sessions_.state(OtherDirection(flow)).tcp_state = next;
  // The new state's timeout may be shorter than the one that the timer was armed with.
  const SessionId session = SessionOf(flow);
  sessions_.timers().Move(session, DeadlineMs(context.snapshot, session));
}

bool Pipeline::IsStale(const PacketContext& context, FlowRef flow) const {
  return sessions_.state(flow).next_hop_generation != context.snapshot.forwarding_generation;
}

bool Pipeline::BackendKeepsSession(const PacketContext& context, FlowRef flow) const {
  const Service* service = context.snapshot.service(sessions_.record(SessionOf(flow)).service_slot);
  if (service == nullptr) return false;
  for (const Backend& backend : service->backends)
    if (backend.slot == sessions_.state(flow).backend_slot) return backend.keeps_sessions;
  return false;
}

bool Pipeline::EnsureNextHop(const PacketContext& context, FlowRef flow, Verdict& verdict) {
  if (!IsStale(context, flow)) [[likely]]
    return true;
  FlowState& state = sessions_.state(flow);
  const net::IpAddress receiver =
      ForwardingModes()[state.forwarding_mode]->Receiver(sessions_, flow);
  const auto flow_hash =
      static_cast<uint32_t>(KeyHash(sessions_.Describe(flow).key, sessions_.secret()));
  const auto next_hop = FindNextHop(context, receiver, flow_hash, verdict);
  if (!next_hop) return false;
  state.next_hop = *next_hop;
  state.next_hop_generation = context.snapshot.forwarding_generation;
  return true;
}

std::optional<uint16_t> Pipeline::FindNextHop(const PacketContext& context,
                                              const net::IpAddress& receiver, uint32_t flow_hash,
                                              Verdict& verdict) {
  const Network::Lookup lookup = context.snapshot.network->Find(receiver, flow_hash);
  switch (lookup.outcome) {
    case Network::Outcome::kFound:
      return lookup.next_hop;
    case Network::Outcome::kNoNeighbour:
      worker_.missing_neighbours.Add(lookup.missing);
      verdict = Verdict::kNoNeighbour;
      return std::nullopt;
    case Network::Outcome::kNoRoute:
      break;
  }
  verdict = Verdict::kNoRoute;
  return std::nullopt;
}

// --- without a session -------------------------------------------------------------------------

// A segment in the middle of a connection belongs to one that went on without a session, or whose
// session is lost.
bool Pipeline::GoesOnStateless(const PacketContext& context, const Service& service,
                               const ParsedPacket& parsed) {
  if (service.protocol == L4Protocol::kTcp && EventOf(parsed.tcp_flags) != TcpEvent::kSyn)
    return true;
  if (service.new_session_interval_ns == 0) return false;
  constexpr uint64_t kBurstNs = 100'000'000;  // of new sessions at the full rate
  return !TokenBucket::TakeFrom(
      worker_.new_session_buckets[service.slot], service.new_session_interval_ns,
      std::max(kBurstNs, service.new_session_interval_ns), context.now_ns);
}

Verdict Pipeline::ForwardStateless(const PacketContext& context, const Service& service,
                                   const net::FlowKey& client_flow, Burst& burst, uint32_t i) {
  ParsedPacket& parsed = parsed_[i];
  net::Packet& packet = burst.packet[i];
  uint32_t cursor = 0;
  const uint32_t chosen = service.stateless_scheduler->Choose(
      {client_flow, service.backends, worker_.backends, cursor});
  if (chosen == kNoBackend) return Verdict::kNoBackend;
  const Backend& backend = service.backends[chosen];
  Verdict verdict = Verdict::kForwarded;
  const auto flow_hash = static_cast<uint32_t>(KeyHash(client_flow, sessions_.secret()));
  const auto next_hop_index = FindNextHop(context, backend.endpoint.address, flow_hash, verdict);
  if (!next_hop_index) return verdict;
  const NextHop& next_hop = context.snapshot.network->next_hop(*next_hop_index);
  const uint16_t added_bytes = service.mode->StatelessAddedBytes(backend);
  const uint16_t mtu = MtuTowards(context, next_hop, backend.slot);
  const bool fits = parsed.l3_end - net::kL3Offset + added_bytes <= mtu && !burst.is_reassembled;
  if (added_bytes > packet.headroom || (!fits && !MayBeFragmented(burst, i, added_bytes != 0)))
    return RefuseTooBig(context, mtu, added_bytes, burst, i);
  if (!fits) burst.LeaveInFragments(i, FragmentMtu(burst, i, mtu));
  TrimPadding(parsed, packet);
  if (!service.mode->keeps_ttl() && !DecrementTtl(parsed, packet))
    return Refuse(context, {Verdict::kTtlExceeded}, parsed, burst, i);
  worker_.backends[backend.slot].packets_to_backend.Add(1);
  worker_.backends[backend.slot].bytes_to_backend.Add(packet.length);
  worker_.counters.stateless_packets.Add(1);
  service.mode->RewriteStateless(context, service, backend, parsed, packet);
  SetLinkLayer(next_hop, packet);
  burst.out_port[i] = next_hop.port;
  return verdict;
}

// --- opening and ending ------------------------------------------------------------------------

namespace {

Verdict CanOpen(const Service& service, const ParsedPacket& parsed) {
  const bool opens =
      service.protocol != L4Protocol::kTcp || EventOf(parsed.tcp_flags) == TcpEvent::kSyn;
  return opens ? Verdict::kForwarded : Verdict::kNoSession;
}

bool AnyAvailable(const Service& service) {
  return std::any_of(service.backends.begin(), service.backends.end(),
                     [](const Backend& backend) { return backend.available; });
}

}  // namespace

Pipeline::Choice Pipeline::ChooseBackend(const Service& service, const net::FlowKey& key,
                                         uint32_t& cursor) const {
  if (worker_.services[service.slot].sessions_active() >= service.max_sessions_per_worker)
    return {nullptr, Verdict::kSessionLimit};
  const SchedulingContext context{key, service.backends, worker_.backends, cursor};
  SessionId remembered = kNoSession;
  if (service.persistence.enabled) {
    remembered = FindRemembered(sessions_, service, key);
    if (const Backend* backend = BackendOf(context, remembered))
      return {backend, Verdict::kForwarded, remembered};
  }
  const uint32_t chosen = service.scheduler->Choose(context);
  if (chosen != kNoBackend) return {&service.backends[chosen], Verdict::kForwarded, remembered};
  return {nullptr, AnyAvailable(service) ? Verdict::kSessionLimit : Verdict::kNoBackend};
}

// Of a client that is remembered; null when it takes no new sessions.
const Backend* Pipeline::BackendOf(const SchedulingContext& context, SessionId remembered) const {
  if (remembered == kNoSession) return nullptr;
  const BackendSlot slot = sessions_.state(RefOf(remembered, Direction::kForward)).backend_slot;
  for (uint32_t i = 0; i < context.backends.size(); ++i)
    if (context.backends[i].slot == slot)
      return TakesSessions(context, i) ? &context.backends[i] : nullptr;
  return nullptr;
}

Pipeline::Opened Pipeline::Open(const PacketContext& context, const net::Packet& packet,
                                const ParsedPacket& parsed) {
  const net::FlowKey key = parsed.key();
  const Service* service = context.snapshot.FindService(key.destination, key.protocol);
  if (service == nullptr) return {};
  const bool needs_no_session = service->mode->is_one_way();
  if (needs_no_session && GoesOnStateless(context, *service, parsed)) return {.stateless = service};
  if (const Verdict verdict = CanOpen(*service, parsed); verdict != Verdict::kForwarded)
    return {kNoFlow, verdict};
  const Choice choice = ChooseBackend(*service, key, worker_.scheduler_cursors[service->slot]);
  if (choice.backend == nullptr) {
    if (choice.verdict == Verdict::kSessionLimit)
      worker_.services[service->slot].session_limit_packets.Add(1);
    return {kNoFlow, choice.verdict};
  }
  const Backend& backend = *choice.backend;
  const auto outcome = service->mode->Open(context, *service, backend, packet, parsed);
  if (const Verdict* refusal = std::get_if<Verdict>(&outcome)) {
    if (needs_no_session && *refusal == Verdict::kSessionTableFull) return {.stateless = service};
    return {kNoFlow, *refusal};
  }
  const SessionId session = *std::get_if<SessionId>(&outcome);
  Register(context, session, *service, backend);
  if (service->persistence.enabled)
    Remember(context, *service, backend, key, session, choice.remembered);
  return {RefOf(session, Direction::kForward), Verdict::kForwarded};
}

void Pipeline::Register(const PacketContext& context, SessionId session, const Service& service,
                        const Backend& backend) {
  SessionRecord& record = sessions_.record(session);
  record.service_slot = service.slot;
  record.created_ms = context.now_ms;
  for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
    FlowState& state = sessions_.state(RefOf(session, direction));
    state.backend_slot = backend.slot;
    state.forwarding_mode = service.mode->index();
    state.last_seen_ms = context.now_ms;
    state.tcp_state = service.protocol == L4Protocol::kTcp ? TcpState::kSynSent : TcpState::kNone;
    if (record.kind == SessionKind::kOneWay) state.flags |= kFlowOneWay;
    if (service.mode->keeps_ttl()) state.flags |= kFlowKeepsTtl;
  }
  sessions_.timers().Arm(session, DeadlineMs(context.snapshot, session));
  worker_.counters.sessions_created.Add(1);
  worker_.services[service.slot].sessions_created.Add(1);
  worker_.backends[backend.slot].sessions_created.Add(1);
}

void Pipeline::EndSession(SessionId session, uint32_t now_ms) {
  const SessionRecord& record = sessions_.record(session);
  if (record.parent_template != 0) {
    const SessionId parent = record.parent_template - 1;
    FlowState& of_parent = sessions_.state(RefOf(parent, Direction::kForward));
    of_parent.last_seen_ms = now_ms;
    of_parent.packets += BothSidesSpoke(session);
    if (--sessions_.record(parent).child_count == 0) sessions_.timers().Move(parent, now_ms);
  }
  if (record.kind == SessionKind::kTemplate) {
    worker_.counters.templates_ended.Add(1);
  } else {
    const FlowState& state = sessions_.state(RefOf(session, Direction::kForward));
    worker_.services[record.service_slot].sessions_ended.Add(1);
    worker_.backends[state.backend_slot].sessions_ended.Add(1);
    worker_.counters.sessions_expired.Add(1);
  }
  sessions_.timers().Disarm(session);
  sessions_.Remove(session);
}

// The client after the backend, so that it has its address and not made it up. Of a one-way session
// only one side is seen.
bool Pipeline::BothSidesSpoke(SessionId session) const {
  const FlowState& forward = sessions_.state(RefOf(session, Direction::kForward));
  const FlowState& reverse = sessions_.state(RefOf(session, Direction::kReverse));
  const bool is_answered =
      reverse.packets != 0 || sessions_.record(session).kind == SessionKind::kOneWay;
  return is_answered && (forward.packets > 1 || forward.tcp_state == TcpState::kNone);
}

uint32_t Pipeline::DeadlineMs(const Snapshot& snapshot, SessionId session) const {
  const FlowState& forward = sessions_.state(RefOf(session, Direction::kForward));
  const FlowState& reverse = sessions_.state(RefOf(session, Direction::kReverse));
  const SessionRecord& record = sessions_.record(session);
  const bool both_are_seen = record.kind == SessionKind::kTwoWay;
  const uint32_t last_seen_ms =
      both_are_seen && TimeBefore(forward.last_seen_ms, reverse.last_seen_ms)
          ? reverse.last_seen_ms
          : forward.last_seen_ms;
  const Service* service = snapshot.service(record.service_slot);
  if (record.kind == SessionKind::kTemplate) {
    const bool lingers = service && (!service->persistence.enabled || forward.packets != 0);
    return last_seen_ms + (lingers ? service->template_timeout_ms : 0);
  }
  const Timeouts& timeouts_ms = service ? service->timeouts_ms : kDefaultTimeoutsMs;
  return last_seen_ms + timeouts_ms[static_cast<size_t>(forward.tcp_state)];
}

namespace {
// Until it is looked at again without need.
constexpr uint32_t kTemplateInUseMs = 600'000;
}  // namespace

void Pipeline::Expire(const Snapshot& snapshot, uint64_t now_ns, uint32_t budget) {
  const uint32_t now_ms = Milliseconds(now_ns);
  sessions_.timers().Advance(now_ms, budget, [&](SessionId session) {
    // The end of its last child has a template looked at.
    const bool has_children = sessions_.record(session).child_count != 0;
    const uint32_t deadline_ms =
        has_children ? now_ms + kTemplateInUseMs : DeadlineMs(snapshot, session);
    sessions_.timers().Arm(session, deadline_ms);
    if (!TimeBefore(now_ms, deadline_ms)) EndSession(session, now_ms);
  });
  if (worker_.reassembler != nullptr)
    worker_.counters.reassembly_timeouts.Add(worker_.reassembler->Expire(now_ns, budget));
}

// --- fragments ---------------------------------------------------------------------------------

namespace {

bool ConcernsUs(const Snapshot& snapshot, const ParsedPacket& fragment) {
  const net::FlowKey addresses = fragment.key();
  return snapshot.own_addresses->contains(addresses.destination.address) ||
         snapshot.gateway_backends->contains(addresses.source.address);
}

}  // namespace

Verdict Pipeline::FinishFragment(const PacketContext& context, const net::Packet& packet,
                                 const ParsedPacket& parsed) {
  if (!ConcernsUs(context.snapshot, parsed)) return Verdict::kPunted;
  if (worker_.reassembler == nullptr) return Verdict::kFragment;
  return worker_.reassembler->Add(packet, parsed, context.now_ns);
}

// Whatever becomes of them, they leave as copies.
void Pipeline::MarkReassembled(const Snapshot& snapshot, Burst& burst) const {
  for (uint32_t i = 0; i < burst.count; ++i)
    burst.LeaveInFragments(i, FragmentMtu(burst, i, snapshot.ports[burst.in_port].mtu));
}

// Routers fragment IPv4 where its sender lets them, and IPv6 never; but what its sender has
// fragmented may be fragmented again.
bool Pipeline::MayBeFragmented(const Burst& burst, uint32_t i, bool is_wrapped) const {
  if (burst.is_reassembled) return true;
  if (parsed_[i].family == net::Family::kIpv4)
    return !HeaderAt<net::Ipv4Header>(burst.packet[i], net::kL3Offset).dont_fragment();
  // No sender cuts what every IPv6 link carries; the packet around it is cut (RFC 2473 section 7.1,
  // RFC 4213 section 3.2.2).
  return is_wrapped && parsed_[i].l3_end - net::kL3Offset <= net::kLeastIpv6Mtu;
}

uint16_t Pipeline::FragmentMtu(const Burst& burst, uint32_t i, uint16_t mtu) const {
  if (!burst.is_reassembled || parsed_[i].family == net::Family::kIpv4) return mtu;
  // No router behind the box will fragment what an IPv6 sender made so small for the path.
  return std::min(mtu, std::max(burst.largest_fragment[i], net::kLeastIpv6Mtu));
}

// --- ICMP errors, looking ----------------------------------------------------------------------

namespace {

constexpr size_t kGueHeadersBytes = 8 + 4;

// The service whose backend sent what is quoted, where its flows may have no session. Null: none.
const Service* ServiceWithoutSession(const PacketContext& context, FlowRef flow,
                                     const ParsedPacket& parsed) {
  if (flow != kNoFlow) return nullptr;
  const net::FlowKey client_flow = KeyOfIcmpError(parsed);
  const Service* service =
      context.snapshot.FindService(client_flow.destination, client_flow.protocol);
  return service != nullptr && service->mode->is_one_way() ? service : nullptr;
}

}  // namespace

// About a tunnel packet of ours. Whoever sent what is inside learns from the next packet that does
// not fit (RFC 4459 section 3.2): not every router quotes enough to tell it now.
Verdict Pipeline::FinishTunnelError(const PacketContext& context, const net::Packet& packet,
                                    const ParsedPacket& parsed, size_t inner_offset) {
  const auto inner = net::QuotedInnerFlow(packet, parsed, inner_offset);
  const FlowRef flow = inner ? sessions_.Find(*inner) : kNoFlow;
  if (flow == kNoFlow || (sessions_.state(flow).flags & kFlowGrows) == 0 ||
      sessions_.Describe(flow).rewrite.destination.address != parsed.key().destination.address)
    return Verdict::kPunted;
  if (!VerifyIcmpChecksum(parsed, packet)) return Verdict::kMalformedIcmp;
  const uint16_t mtu = MtuTold(parsed, packet);
  if (mtu == 0) return Verdict::kPunted;
  worker_.path_mtus.Learn(sessions_.state(flow).backend_slot, parsed.family, mtu, context.now_ms);
  return Verdict::kConsumed;
}

Verdict Pipeline::FinishIcmpError(const PacketContext& context, Burst& burst, uint32_t i) {
  ParsedPacket& parsed = parsed_[i];
  net::Packet& packet = burst.packet[i];
  const FlowRef flow = sessions_.Find(KeyOfIcmpError(parsed));
  if (const Service* service = ServiceWithoutSession(context, flow, parsed)) {
    if (!VerifyIcmpChecksum(parsed, packet)) return Verdict::kMalformedIcmp;
    return ForwardStateless(context, *service, KeyOfIcmpError(parsed), burst, i);
  }
  if (flow == kNoFlow && parsed.protocol() == L4Protocol::kUdp)
    return FinishTunnelError(context, packet, parsed, kGueHeadersBytes);
  if (flow == kNoFlow) return Verdict::kPunted;
  if (!VerifyIcmpChecksum(parsed, packet)) return Verdict::kMalformedIcmp;
  const FlowState& state = sessions_.state(flow);
  Verdict verdict = Verdict::kForwarded;
  if (!EnsureNextHop(context, flow, verdict)) return verdict;
  const NextHop& next_hop = context.snapshot.network->next_hop(state.next_hop);
  const ForwardingMode& mode = *ForwardingModes()[state.forwarding_mode];
  if (!Fits(context, flow, next_hop, burst, i)) return Verdict::kPacketTooBig;
  TrimPadding(parsed, packet);
  if ((state.flags & kFlowKeepsTtl) == 0 && !DecrementTtl(parsed, packet))
    return Verdict::kTtlExceeded;
  mode.RewriteIcmpError(context, flow, next_hop, parsed, packet);
  SetLinkLayer(next_hop, packet);
  burst.out_port[i] = next_hop.port;
  return verdict;
}

Pipeline::Preview Pipeline::Look(const Snapshot& snapshot, const net::FlowKey& key) const {
  Preview preview;
  preview.service = snapshot.FindService(key.destination, key.protocol);
  preview.flow = sessions_.Find(key);
  if (preview.flow != kNoFlow) {
    preview.verdict = Verdict::kForwarded;
    return preview;
  }
  if (preview.service == nullptr) return preview;
  uint32_t cursor = worker_.scheduler_cursors[preview.service->slot];
  const Choice choice = ChooseBackend(*preview.service, key, cursor);
  preview.backend = choice.backend;
  preview.verdict = choice.verdict;
  return preview;
}

}  // namespace steelyard::core
