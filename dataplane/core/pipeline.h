// SPDX-License-Identifier: Apache-2.0
//
// Read this first: the way of a packet through a worker.
//
//   parse → steer → find session → (open session: service, schedule, local port) → rewrite →
//   next hop
//
// Each stage is a pass over the whole burst, and the memory that the next one needs is prefetched
// by the one before. One object a worker; only that worker's thread calls it. Pure: no clock, no
// allocation, no system call; time comes in as an argument.
//
// The stages and packets of known flows are in pipeline.cc; the rest is in a file each:
// pipeline_steering.cc finds other workers' packets, pipeline_sessions.cc opens and ends sessions,
// pipeline_outbound.cc opens those of outbound gateways, pipeline_stateless.cc forwards without
// one, pipeline_fragments.cc and pipeline_icmp_errors.cc are what their names say.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "core/burst.h"
#include "core/forward/forwarding_mode.h"
#include "core/session_table.h"
#include "core/snapshot.h"
#include "core/worker_state.h"

namespace steelyard::core {

class Pipeline {
 public:
  // `worker_index` of those that the snapshot steers to; sessions and worker state outlive the
  // pipeline. `now_ns` as for Process.
  Pipeline(uint32_t worker_index, SessionTable& sessions, WorkerState& worker, uint64_t now_ns);

  // Marks the packets of the burst that are another worker's (Burst::handed_off) and gives every
  // other one its verdict, rewrites those to be forwarded in place and names their out_port; of
  // those that their senders must hear of, it makes answers (Burst::answered). Fragments go to the
  // worker's reassembler; what is complete afterwards is there to be taken and processed as a burst
  // of its own, of the same in_port. Does not count the verdicts: whoever sends the packets knows
  // which were really sent. `now_ns` never runs backwards and counts from any fixed point of this
  // boot.
  void Process(const Snapshot& snapshot, Burst& burst, uint64_t now_ns);

  // Ends sessions and gives up datagrams whose time has come; looks at no more than `budget` of
  // each.
  void Expire(const Snapshot& snapshot, uint64_t now_ns, uint32_t budget);

  // What a packet with this key, arriving now, would meet; of TCP without a session, what a SYN
  // would (a segment from the middle of a connection is dropped, or goes on without a session).
  // Of the packet itself nothing is known: neither its size nor its TTL. Changes nothing.
  struct Preview {
    const Service* service = nullptr;  // of the destination, or of an outbound gateway
    FlowRef flow = kNoFlow;            // its session, if there is one
    const Backend* backend = nullptr;  // that it would go to, where there is none
    bool is_stateless = false;         // and none would be opened
    net::Verdict verdict = net::Verdict::kPunted;
  };
  Preview Look(const Snapshot& snapshot, const net::FlowKey& key, uint64_t now_ns) const;

  uint32_t worker_index() const { return worker_index_; }
  const SessionTable& sessions() const { return sessions_; }
  uint32_t DeadlineMs(const Snapshot& snapshot, SessionId session) const;

 private:
  static uint32_t Milliseconds(uint64_t now_ns) {
    return static_cast<uint32_t>(now_ns / 1'000'000);
  }

  // The stages.
  void Parse(const Snapshot& snapshot, const Burst& burst);
  void Steer(const Snapshot& snapshot, Burst& burst);
  void HashKeys(uint32_t count);
  void PickCandidates(uint32_t count);
  void ConfirmSessions(const Burst& burst);
  void FindServices(const Snapshot& snapshot, uint32_t count);
  void Finish(const PacketContext& context, Burst& burst);

  // The short way of most packets, and the way of all.
  bool IsPlain(const PacketContext& context, const Burst& burst, uint32_t i) const;
  net::Verdict ForwardPlain(const PacketContext& context, Burst& burst, uint32_t i);
  net::Verdict ForwardTranslated(const PacketContext& context, const NextHop& next_hop,
                                 Burst& burst, uint32_t i);
  net::Verdict ForwardOneWay(const PacketContext& context, const NextHop& next_hop, Burst& burst,
                             uint32_t i);
  static net::Verdict Leave(const NextHop& next_hop, const net::Packet& packet, Burst& burst,
                            uint32_t i);
  net::Verdict FinishPacket(const PacketContext& context, Burst& burst, uint32_t i);
  net::Verdict FinishFlow(const PacketContext& context, Burst& burst, uint32_t i);
  net::Verdict OpenAndForward(const PacketContext& context, Burst& burst, uint32_t i);
  net::Verdict FinishIcmpError(const PacketContext& context, Burst& burst, uint32_t i);
  net::Verdict FinishTunnelError(const PacketContext& context, Burst& burst, uint32_t i,
                                 size_t inner_offset);
  net::Verdict FinishFragment(const PacketContext& context, Burst& burst, uint32_t i);
  FlowRef FindAgain(uint32_t i) const;

  // The flow that a packet belongs to or is about, by which it is steered. Nothing: it is the
  // receiving worker's, whichever that is.
  std::optional<net::FlowKey> SteeringKey(const net::Packet& packet,
                                          const net::ParsedPacket& parsed) const;
  uint32_t OwnerByHash(const Steering& steering, Burst& burst, uint32_t i) const;
  void CheckOwnership(const PacketContext& context, SessionId session);
  net::Verdict FollowRedirect(const PacketContext& context, FlowRef flow, Burst& burst, uint32_t i);
  // Whether the packet, whose session is not here, goes to its home instead.
  bool HandHome(const PacketContext& context, uint32_t home_bucket, Burst& burst, uint32_t i) const;

  // Where a new flow goes: the verdict says why nowhere.
  struct Choice {
    const Backend* backend = nullptr;
    net::Verdict verdict = net::Verdict::kForwarded;
    SessionId remembered = kNoSession;  // of the client (core/persistence.h)
  };
  const Backend* BackendOf(const SchedulingContext& context, SessionId remembered) const;
  Choice ChooseBackend(const Service& service, const net::FlowKey& key, uint32_t& cursor) const;
  // By which packets of one-way modes go on without a session.
  Choice ChooseStateless(const Service& service, const net::FlowKey& key) const;

  // A flow without a session: opens one (and returns its forward flow) or says what becomes of the
  // packet.
  struct Opened {
    FlowRef flow = kNoFlow;
    net::Verdict verdict = net::Verdict::kPunted;
    const Service* stateless = nullptr;  // its packets can do without a session, and this one does
  };
  Opened Open(const PacketContext& context, const Service* service, const net::Packet& packet,
              const net::ParsedPacket& parsed);
  void Register(const PacketContext& context, SessionId session, const Service& service,
                const Backend& backend, net::L4Protocol protocol);
  // A flow that no service has: the same by an outbound gateway.
  struct Outbound {
    const Service* gateway = nullptr;  // none takes the flow
    SessionId target = kNoSession;  // the mapping that the flow goes to (core/endpoint_mapping.h)
    bool from_inside = false;
    net::Verdict verdict = net::Verdict::kForwarded;
  };
  Outbound ChooseOutbound(const Snapshot& snapshot, const net::FlowKey& key) const;
  Opened OpenOutbound(const PacketContext& context, const net::Packet& packet,
                      const net::ParsedPacket& parsed);

  net::Verdict ForwardFlow(const PacketContext& context, Burst& burst, uint32_t i, FlowRef flow);
  // Of a flow between two inside hosts whose mappings are at two workers: translated here as if it
  // left, it goes on at the other's as if it came in.
  net::Verdict TurnRound(const PacketContext& context, FlowRef flow, Burst& burst, uint32_t i);
  static bool MayBegin(FlowRef flow, const net::ParsedPacket& parsed);
  bool IsOver(const PacketContext& context, FlowRef flow, const net::ParsedPacket& parsed) const;
  bool GoesOnStateless(const PacketContext& context, const Service& service,
                       const net::ParsedPacket& parsed);
  net::Verdict ForwardStateless(const PacketContext& context, const Service& service,
                                const net::FlowKey& client_flow, Burst& burst, uint32_t i);
  void TrackTcp(const PacketContext& context, FlowRef flow, FlowState& state,
                const net::ParsedPacket& parsed, const net::Packet& packet);
  void MoveTcp(const PacketContext& context, FlowRef flow, TcpState next,
               const net::ParsedPacket& parsed, const net::Packet& packet);
  void Count(const PacketContext& context, FlowRef flow, FlowState& state, uint32_t bytes);
  static bool IsStale(const PacketContext& context, const FlowState& state);
  bool BackendKeepsSession(const PacketContext& context, FlowRef flow) const;
  // Whether the packet can leave by that next hop; false: Fits has to look closer.
  bool FitsAsItIs(const FlowState& state, const NextHop& next_hop, const Burst& burst,
                  uint32_t i) const;
  // The same of any packet, with what it has to grow by. Marks those that can in fragments.
  bool Fits(const PacketContext& context, FlowRef flow, const NextHop& next_hop, Burst& burst,
            uint32_t i) const;
  net::Verdict RefuseTooBig(const PacketContext& context, uint16_t mtu, int added_bytes,
                            Burst& burst, uint32_t i);
  uint16_t MtuTowards(const PacketContext& context, const NextHop& next_hop,
                      BackendSlot backend) const;
  // The flow has one that is of this snapshot, or gets it. False: `verdict` says why there is none.
  bool EnsureNextHop(const PacketContext& context, FlowRef flow, net::Verdict& verdict);
  bool FindNextHopOf(const PacketContext& context, FlowRef flow, net::Verdict& verdict);
  // In the place of a next hop: the receiver is one of our outside addresses (TurnRound).
  static constexpr uint16_t kTurnsRound = UINT16_MAX;
  // After EnsureNextHop.
  static const NextHop& NextHopOf(const PacketContext& context, const FlowState& state);
  std::optional<uint16_t> FindNextHop(const PacketContext& context, const net::IpAddress& receiver,
                                      uint32_t flow_hash, net::Verdict& verdict);
  // Whether its client is real, as far as can be seen.
  bool BothSidesSpoke(SessionId session) const;
  void EndSession(SessionId session, uint32_t now_ms);

  void MarkReassembled(const Snapshot& snapshot, Burst& burst) const;
  bool MayBeFragmented(const Burst& burst, uint32_t i, bool is_wrapped) const;
  // The largest IP packet that may leave, by a link of that MTU, for one that changes family.
  uint16_t MtuInOtherFamily(const Burst& burst, uint32_t i, uint16_t mtu) const;
  // The largest fragment of the packet that may leave towards a link of that MTU.
  uint16_t FragmentMtu(const Burst& burst, uint32_t i, uint16_t mtu) const;

  uint32_t worker_index_;
  SessionTable& sessions_;
  WorkerState& worker_;
  const std::span<const ForwardingMode* const> modes_;

  // Of the burst at hand.
  std::array<net::ParsedPacket, kBurstCapacity> parsed_;
  std::array<uint64_t, kBurstCapacity> hash_;
  std::array<FlowRef, kBurstCapacity> flow_;
  std::array<FlowState*, kBurstCapacity> state_;  // null: not of a session's flow
  uint32_t found_at_change_ = 0;                  // SessionTable::change_count when flow_ was found
  bool any_without_session_ = false;
  std::array<const Service*, kBurstCapacity> service_;  // of packets without a session; may be null
};

}  // namespace steelyard::core
