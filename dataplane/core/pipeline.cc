// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline.h"

#include <algorithm>
#include <bit>

#include "core/icmp_answer.h"
#include "core/pipeline_steps.h"
#include "core/tcp_closing.h"

namespace steelyard::core {

using net::HeaderAt;
using net::L4Protocol;
using net::PacketClass;
using net::ParsedPacket;
using net::Verdict;

Pipeline::Pipeline(uint32_t worker_index, SessionTable& sessions, WorkerState& worker,
                   uint64_t now_ns)
    : worker_index_(worker_index), sessions_(sessions), worker_(worker), modes_(ForwardingModes()) {
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
  burst.handed_off = 0;
  if (snapshot.steering->worker_count() > 1) Steer(snapshot, burst);
  HashKeys(burst.count);
  PickCandidates(burst.count);
  ConfirmSessions(burst);
  if (any_without_session_) FindServices(snapshot, burst.count);
  Finish(context, burst);
}

// --- the stages --------------------------------------------------------------------------------

void Pipeline::Parse(const Snapshot& snapshot, const Burst& burst) {
  constexpr uint32_t kAhead = 4;
  for (uint32_t i = 0; i < burst.count && i < kAhead; ++i) __builtin_prefetch(burst.packet[i].data);
  const net::MacAddress& port_mac = snapshot.ports[burst.in_port].mac;
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (i + kAhead < burst.count) __builtin_prefetch(burst.packet[i + kAhead].data);
    const auto origin = burst.steered[i] == Steered::kTurned ? net::PacketOrigin::kOurselves
                                                             : net::PacketOrigin::kWire;
    net::ParsePacket(burst.packet[i], port_mac, origin, parsed_[i]);
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
  uint32_t elsewhere = 0;  // a bit a packet: its key may be in the secondary bucket
  for (uint32_t i = 0; i < count; ++i) {
    if (parsed_[i].packet_class != PacketClass::kFlow) continue;
    flow_[i] = sessions_.Candidate(hash_[i]);
    sessions_.PrefetchFlow(flow_[i]);
    if (flow_[i] == kNoFlow && sessions_.MayBeDisplaced(hash_[i])) {
      sessions_.PrefetchSecondaryBucket(hash_[i]);
      elsewhere |= 1u << i;
    }
  }
  for (; elsewhere != 0; elsewhere &= elsewhere - 1) {
    const auto i = static_cast<uint32_t>(std::countr_zero(elsewhere));
    flow_[i] = sessions_.SecondaryCandidate(hash_[i]);
    sessions_.PrefetchFlow(flow_[i]);
  }
}

void Pipeline::ConfirmSessions(const Burst& burst) {
  found_at_change_ = sessions_.change_count();
  any_without_session_ = false;
  for (uint32_t i = 0; i < burst.count; ++i) {
    const ParsedPacket& parsed = parsed_[i];
    state_[i] = nullptr;
    if (parsed.packet_class != PacketClass::kFlow) continue;
    flow_[i] = parsed.family == net::Family::kIpv4
                   ? sessions_.Confirm(flow_[i], parsed.v4, hash_[i])
                   : sessions_.Confirm(flow_[i], parsed.v6, hash_[i]);
    if (flow_[i] == kNoFlow) [[unlikely]] {
      any_without_session_ = true;
      continue;
    }
    state_[i] = &sessions_.state(flow_[i]);
    __builtin_prefetch(&worker_.backends[state_[i]->backend_slot], 1);
    // Where a header grows to.
    if (state_[i]->flags & kFlowResizes) __builtin_prefetch(burst.packet[i].data - 1, 1);
  }
}

// All are looked up before the first is opened, so that what one service is kept in comes from
// memory along with another's.
void Pipeline::FindServices(const Snapshot& snapshot, uint32_t count) {
  const auto is_without_session = [&](uint32_t i) {
    return parsed_[i].packet_class == PacketClass::kFlow && flow_[i] == kNoFlow;
  };
  for (uint32_t i = 0; i < count; ++i) {
    if (!is_without_session(i)) continue;
    const net::FlowKey key = parsed_[i].key();
    service_[i] = snapshot.FindService(key.destination, key.protocol);
    if (service_[i] == nullptr) continue;
    for (size_t offset = 0; offset < sizeof(Service); offset += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(service_[i]) + offset);
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (!is_without_session(i) || service_[i] == nullptr) continue;
    const ServiceSlot slot = service_[i]->slot;
    __builtin_prefetch(&worker_.services[slot], 1);
    __builtin_prefetch(&worker_.service_shares[slot]);
    __builtin_prefetch(&worker_.scheduler_cursors[slot], 1);
    __builtin_prefetch(service_[i]->scheduler.get());
    __builtin_prefetch(service_[i]->backends.data());
  }
}

void Pipeline::Finish(const PacketContext& context, Burst& burst) {
  const bool is_usual = !context.snapshot.awaits_configuration &&
                        !context.snapshot.checks_ownership && !burst.is_reassembled;
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (is_usual && IsPlain(context, burst, i)) [[likely]]
      burst.verdict[i] = ForwardPlain(context, burst, i);
    else
      burst.verdict[i] = FinishPacket(context, burst, i);
  }
}

// Whether what ForwardFlow looks at is as with nearly every packet.
inline bool Pipeline::IsPlain(const PacketContext& context, const Burst& burst, uint32_t i) const {
  const FlowState* const state = state_[i];
  return parsed_[i].is_plain && state != nullptr && found_at_change_ == sessions_.change_count() &&
         IsSteady(*state) && !IsStale(context, *state) && state->next_hop != kTurnsRound &&
         burst.steered[i] != Steered::kTurned;
}

[[gnu::always_inline]] inline Verdict Pipeline::ForwardPlain(const PacketContext& context,
                                                             Burst& burst, uint32_t i) {
  const FlowState& state = *state_[i];
  const NextHop& next_hop = context.snapshot.network->next_hop(state.next_hop);
  if (state.flags == FlagsOfTranslated(parsed_[i].family)) [[likely]]
    return ForwardTranslated(context, next_hop, burst, i);
  if (state.flags & kFlowOneWay) return ForwardOneWay(context, next_hop, burst, i);
  return ForwardFlow(context, burst, i, flow_[i]);
}

// The packet's view is copied: nothing that is written into the packet can then seem to change it.
[[gnu::always_inline]] inline Verdict Pipeline::ForwardTranslated(const PacketContext& context,
                                                                  const NextHop& next_hop,
                                                                  Burst& burst, uint32_t i) {
  const ParsedPacket& parsed = parsed_[i];
  net::Packet packet = burst.packet[i];
  const FlowRef flow = flow_[i];
  FlowState& state = *state_[i];
  if (parsed.l3_end - net::kL3Offset > next_hop.mtu || TtlRunsOut(parsed, packet)) [[unlikely]]
    return ForwardFlow(context, burst, i, flow);
  TrimPadding(parsed, burst.packet[i]);
  Count(context, flow, state, parsed.l3_end);
  if (parsed.family == net::Family::kIpv4)
    TranslatePlain(RecordOf<NarrowFlow>(state), DirectionOf(flow), parsed, packet);
  else
    TranslatePlain(RecordOf<WideFlow>(state), DirectionOf(flow), parsed, packet);
  return Leave(next_hop, packet, burst, i);
}

Verdict Pipeline::ForwardOneWay(const PacketContext& context, const NextHop& next_hop, Burst& burst,
                                uint32_t i) {
  ParsedPacket& parsed = parsed_[i];
  net::Packet& packet = burst.packet[i];
  FlowState& state = *state_[i];
  const FlowRef flow = flow_[i];
  const ForwardingMode& mode = *modes_[state.forwarding_mode];
  const bool resizes = state.flags & kFlowResizes;
  const int added_bytes = resizes ? mode.MostAddedBytes(sessions_, flow) : 0;
  const uint16_t mtu = resizes ? MtuTowards(context, next_hop, state.backend_slot) : next_hop.mtu;
  const bool keeps_ttl = state.flags & kFlowKeepsTtl;
  if (parsed.l3_end - net::kL3Offset + added_bytes > mtu ||
      added_bytes > static_cast<int>(packet.headroom) ||
      (!keeps_ttl && !DecrementTtl(parsed, packet))) [[unlikely]]
    return ForwardFlow(context, burst, i, flow);
  TrimPadding(parsed, packet);
  Count(context, flow, state, packet.length);
  if (resizes) mode.Rewrite(context, flow, next_hop, parsed, packet);
  return Leave(next_hop, packet, burst, i);
}

inline Verdict Pipeline::Leave(const NextHop& next_hop, const net::Packet& packet, Burst& burst,
                               uint32_t i) {
  SetLinkLayer(next_hop, packet);
  burst.out_port[i] = next_hop.port;
  return Verdict::kForwarded;
}

namespace {

// The box itself may be pinged all the same.
bool AwaitsConfiguration(const ParsedPacket& parsed, FlowRef flow) {
  switch (parsed.packet_class) {
    case PacketClass::kFlow:
      return flow != kNoFlow || !net::IsIcmp(parsed.protocol());
    case PacketClass::kIcmpError:
    case PacketClass::kTunnelError:
    case PacketClass::kFragment:
      return true;
    case PacketClass::kOther:
    case PacketClass::kMalformed:
      break;
  }
  return false;
}

}  // namespace

Verdict Pipeline::FinishPacket(const PacketContext& context, Burst& burst, uint32_t i) {
  const ParsedPacket& parsed = parsed_[i];
  if (burst.IsHandedOff(i)) return Verdict::kConsumed;
  if (context.snapshot.awaits_configuration && AwaitsConfiguration(parsed, flow_[i])) [[unlikely]]
    return Verdict::kAwaitingConfiguration;
  if (parsed.packet_class == PacketClass::kFlow) [[likely]]
    return FinishFlow(context, burst, i);
  switch (parsed.packet_class) {
    case PacketClass::kIcmpError:
      return FinishIcmpError(context, burst, i);
    case PacketClass::kTunnelError:
      return FinishTunnelError(context, burst, i, 0);
    case PacketClass::kFragment:
      return FinishFragment(context, burst, i);
    case PacketClass::kMalformed:
      return parsed.malformed;
    case PacketClass::kFlow:
    case PacketClass::kOther:
      break;
  }
  return Verdict::kPunted;
}

// --- a packet of a flow ------------------------------------------------------------------------

FlowRef Pipeline::FindAgain(uint32_t i) const {
  const ParsedPacket& parsed = parsed_[i];
  return parsed.family == net::Family::kIpv4 ? sessions_.Find(parsed.v4, hash_[i])
                                             : sessions_.Find(parsed.v6, hash_[i]);
}

inline Verdict Pipeline::FinishFlow(const PacketContext& context, Burst& burst, uint32_t i) {
  // An earlier packet of this burst may have opened or ended this very session.
  FlowRef flow = found_at_change_ == sessions_.change_count() ? flow_[i] : FindAgain(i);
  if (flow != kNoFlow) [[likely]] {
    if (IsRedirect(sessions_.state(flow))) [[unlikely]]
      return FollowRedirect(context, flow, burst, i);
    if (!MayBegin(flow, parsed_[i]) || !IsOver(context, flow, parsed_[i])) [[likely]]
      return ForwardFlow(context, burst, i, flow);
    EndSession(SessionOf(flow), context.now_ms);
  }
  return OpenAndForward(context, burst, i);
}

Verdict Pipeline::OpenAndForward(const PacketContext& context, Burst& burst, uint32_t i) {
  const net::FlowKey key = parsed_[i].key();
  // That of a session which has just ended was not looked for.
  const Service* service = flow_[i] == kNoFlow
                               ? service_[i]
                               : context.snapshot.FindService(key.destination, key.protocol);
  PacketContext opening = context;
  opening.home_bucket = HomeBucketOf(context.snapshot, service, key);
  if (HandHome(context, opening.home_bucket, burst, i)) return Verdict::kConsumed;
  const Opened opened = Open(opening, service, burst.packet[i], parsed_[i]);
  if (opened.stateless) return ForwardStateless(context, *opened.stateless, key, burst, i);
  if (opened.verdict == Verdict::kTtlExceeded)
    return Refuse(context, {opened.verdict}, parsed_[i], burst, i);
  if (opened.flow == kNoFlow) return opened.verdict;
  return ForwardFlow(context, burst, i, opened.flow);
}

// Whether the packet may be the first of a new session under the key of an old one.
inline bool Pipeline::MayBegin(FlowRef flow, const ParsedPacket& parsed) {
  // The direction last: nobody can guess it, and of most packets it need not be known.
  return (parsed.protocol() != L4Protocol::kTcp || EventOf(parsed.tcp_flags) == TcpEvent::kSyn) &&
         DirectionOf(flow) == Direction::kForward;
}

// Whether such a one is.
bool Pipeline::IsOver(const PacketContext& context, FlowRef flow,
                      const ParsedPacket& parsed) const {
  if (parsed.protocol() != L4Protocol::kTcp)
    return IsStale(context, sessions_.state(flow)) && !BackendKeepsSession(context, flow);
  const FlowState& state = sessions_.state(flow);
  const bool is_one_way = state.flags & kFlowOneWay;
  if (is_one_way ? SynReopensOneWay(state.tcp_state) : SynReopens(state.tcp_state)) return true;
  // Nothing of the backend's was seen, not even the RST by which its connections may have ended: a
  // SYN need not wait for one that is gone.
  const bool backend_is_silent = is_one_way || state.tcp_state == TcpState::kSynSent;
  return backend_is_silent && !BackendKeepsSession(context, flow);
}

Verdict Pipeline::ForwardFlow(const PacketContext& context, Burst& burst, uint32_t i,
                              FlowRef flow) {
  ParsedPacket& parsed = parsed_[i];
  net::Packet& packet = burst.packet[i];
  FlowState& state = sessions_.state(flow);
  Verdict verdict = Verdict::kForwarded;
  if (context.snapshot.checks_ownership) [[unlikely]]
    CheckOwnership(context, SessionOf(flow));
  if (IsStale(context, state) && !FindNextHopOf(context, flow, verdict)) [[unlikely]]
    return verdict;
  const NextHop& next_hop = NextHopOf(context, state);
  const ForwardingMode& mode = *modes_[state.forwarding_mode];
  if (!FitsAsItIs(state, next_hop, burst, i) && !Fits(context, flow, next_hop, burst, i))
      [[unlikely]] {
    const uint16_t mtu = MtuTowards(context, next_hop, state.backend_slot);
    return RefuseTooBig(context, mtu, mode.MostAddedBytes(sessions_, flow), burst, i);
  }
  TrimPadding(parsed, packet);
  // The box is one hop, whatever its workers do among themselves.
  const bool keeps_ttl = (state.flags & kFlowKeepsTtl) || burst.steered[i] == Steered::kTurned;
  if (!keeps_ttl && !DecrementTtl(parsed, packet))
    return Refuse(context, {Verdict::kTtlExceeded}, parsed, burst, i);

  Count(context, flow, state, packet.length);
  if (state.protocol == L4Protocol::kTcp) TrackTcp(context, flow, state, parsed, packet);
  mode.Rewrite(context, flow, next_hop, parsed, packet);
  if (state.next_hop == kTurnsRound) [[unlikely]]
    return TurnRound(context, flow, burst, i);
  return Leave(next_hop, packet, burst, i);
}

// To be told, the sender must have forbidden fragments, as every one does in IPv6.
Verdict Pipeline::RefuseTooBig(const PacketContext& context, uint16_t mtu, int added_bytes,
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

// What is true of nearly every packet.
inline bool Pipeline::FitsAsItIs(const FlowState& state, const NextHop& next_hop,
                                 const Burst& burst, uint32_t i) const {
  return (state.flags & (kFlowResizes | kFlowProxyHeaderPending)) == 0 && !burst.is_reassembled &&
         parsed_[i].l3_end - net::kL3Offset <= next_hop.mtu;
}

bool Pipeline::Fits(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                    Burst& burst, uint32_t i) const {
  const FlowState& state = sessions_.state(flow);
  int bytes = parsed_[i].l3_end - net::kL3Offset;
  uint16_t mtu = next_hop.mtu;
  if (state.flags & (kFlowResizes | kFlowProxyHeaderPending)) [[unlikely]] {
    const net::Packet& packet = burst.packet[i];
    const int added_bytes =
        modes_[state.forwarding_mode]->AddedBytes(context, flow, parsed_[i], packet);
    if (added_bytes > static_cast<int>(packet.headroom)) return false;
    bytes += added_bytes;
    mtu = MtuTowards(context, next_hop, state.backend_slot);
    if (ChangesFamily(state.flags)) mtu = MtuInOtherFamily(burst, i, mtu);
  }
  if (bytes <= mtu && !burst.is_reassembled) return true;
  if (!MayBeFragmented(burst, i, (state.flags & kFlowResizes) != 0)) return false;
  burst.LeaveInFragments(i, FragmentMtu(burst, i, mtu));
  return true;
}

inline void Pipeline::Count(const PacketContext& context, FlowRef flow, FlowState& state,
                            uint32_t bytes) {
  state.last_seen_ms = context.now_ms;
  ++state.packets;
  state.bytes += bytes;
  worker_.backends[state.backend_slot].Count(DirectionOf(flow), bytes);
}

inline void Pipeline::TrackTcp(const PacketContext& context, FlowRef flow, FlowState& state,
                               const ParsedPacket& parsed, const net::Packet& packet) {
  const TcpState next = state.flags & kFlowOneWay
                            ? NextStateOneWay(state.tcp_state, parsed.tcp_flags)
                            : NextState(state.tcp_state, DirectionOf(flow), parsed.tcp_flags);
  if (next == state.tcp_state) [[likely]]
    return;
  MoveTcp(context, flow, next, parsed, packet);
}

void Pipeline::MoveTcp(const PacketContext& context, FlowRef flow, TcpState next,
                       const ParsedPacket& parsed, const net::Packet& packet) {
  if (next == TcpState::kTimeWait) {
    if (!AcknowledgesLastFin(sessions_, flow, parsed, packet)) return;
  } else if (EventOf(parsed.tcp_flags) == TcpEvent::kFin) {
    NoteFin(sessions_, flow, parsed, packet);
  }
  sessions_.state(flow).tcp_state = next;
  sessions_.state(OtherDirection(flow)).tcp_state = next;
  // The new state's timeout may be shorter than the one that the timer was armed with.
  const SessionId session = SessionOf(flow);
  sessions_.timers().Move(session, DeadlineMs(context.snapshot, session));
}

inline bool Pipeline::IsStale(const PacketContext& context, const FlowState& state) {
  return state.next_hop_generation != context.snapshot.forwarding_generation;
}

bool Pipeline::BackendKeepsSession(const PacketContext& context, FlowRef flow) const {
  const Service* service = context.snapshot.service(sessions_.record(SessionOf(flow)).service_slot);
  if (service == nullptr) return false;
  for (const Backend& backend : service->backends)
    if (backend.slot == sessions_.state(flow).backend_slot) return backend.keeps_sessions;
  return false;
}

bool Pipeline::EnsureNextHop(const PacketContext& context, FlowRef flow, Verdict& verdict) {
  return !IsStale(context, sessions_.state(flow)) || FindNextHopOf(context, flow, verdict);
}

bool Pipeline::FindNextHopOf(const PacketContext& context, FlowRef flow, Verdict& verdict) {
  FlowState& state = sessions_.state(flow);
  const net::IpAddress receiver = modes_[state.forwarding_mode]->Receiver(sessions_, flow);
  if (context.snapshot.outside_addresses->contains(receiver)) [[unlikely]] {
    state.next_hop = kTurnsRound;
    state.next_hop_generation = context.snapshot.forwarding_generation;
    return true;
  }
  const auto flow_hash = static_cast<uint32_t>(KeyHash(sessions_.KeyOf(flow), sessions_.secret()));
  const auto next_hop = FindNextHop(context, receiver, flow_hash, verdict);
  if (!next_hop) return false;
  state.next_hop = *next_hop;
  state.next_hop_generation = context.snapshot.forwarding_generation;
  return true;
}

const NextHop& Pipeline::NextHopOf(const PacketContext& context, const FlowState& state) {
  static constexpr NextHop kNowhere{.mtu = UINT16_MAX};
  return state.next_hop == kTurnsRound ? kNowhere
                                       : context.snapshot.network->next_hop(state.next_hop);
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

}  // namespace steelyard::core
