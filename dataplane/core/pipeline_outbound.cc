// SPDX-License-Identifier: Apache-2.0
#include "core/endpoint_mapping.h"
#include "core/pipeline.h"
#include "core/pipeline_steps.h"

namespace steelyard::core {

using net::L4Protocol;
using net::ParsedPacket;
using net::Verdict;

namespace {

// What does not open a flow of its own may answer one that came in by the kernel's routes.
bool OpensOutbound(const ParsedPacket& parsed, const net::Packet& packet) {
  if (parsed.protocol() == L4Protocol::kTcp) return EventOf(parsed.tcp_flags) == TcpEvent::kSyn;
  if (!net::IsIcmp(parsed.protocol())) return true;
  return net::IsEchoRequest(net::HeaderAt<net::IcmpEchoHeader>(packet, parsed.l4_offset).type);
}

// The mapping of the outside endpoint that the flow goes to.
SessionId TargetOf(const Snapshot& snapshot, const SessionTable& sessions,
                   const net::FlowKey& key) {
  if (key.protocol != L4Protocol::kUdp ||
      !snapshot.outside_addresses->contains(key.destination.address))
    return kNoSession;
  return FindMappingOfOutside(sessions, key.destination);
}

}  // namespace

namespace {

// To an outside endpoint whose mapping, if there is one, is another worker's.
bool MayTurnRound(const Snapshot& snapshot, const net::FlowKey& key) {
  return snapshot.steering->worker_count() > 1 && key.protocol == L4Protocol::kUdp &&
         snapshot.home_rules->has_endpoint_independent_udp &&
         snapshot.outside_addresses->contains(key.destination.address);
}

}  // namespace

// To the box itself there is always a way: its flows turn round and go to inside hosts.
Pipeline::Outbound Pipeline::ChooseOutbound(const Snapshot& snapshot,
                                            const net::FlowKey& key) const {
  if (snapshot.outbound_gateways->empty()) return {};
  Outbound outbound;
  outbound.target = TargetOf(snapshot, sessions_, key);
  const bool goes_round = outbound.target != kNoSession || MayTurnRound(snapshot, key);
  if (const OutboundGateway* gateway = snapshot.FindOutboundGateway(key, goes_round)) {
    const auto route = snapshot.network->Find(key.destination.address, 0).outcome;
    if (!goes_round && route == Network::Outcome::kNoRoute) return {};
    outbound.gateway = gateway->service.get();
    outbound.from_inside = true;
  } else if (outbound.target != kNoSession) {
    outbound.gateway = snapshot.service(sessions_.record(outbound.target).service_slot);
  }
  if (outbound.gateway == nullptr) return {};
  const ServiceSlot slot = outbound.gateway->slot;
  if (!HasRoom(worker_.services[slot].sessions_active(), outbound.gateway->max_sessions,
               worker_.service_shares[slot]))
    outbound.verdict = Verdict::kSessionLimit;
  return outbound;
}

Pipeline::Opened Pipeline::OpenOutbound(const PacketContext& context, const net::Packet& packet,
                                        const ParsedPacket& parsed) {
  const net::FlowKey key = parsed.key();
  const Outbound outbound = ChooseOutbound(context.snapshot, key);
  if (outbound.gateway == nullptr || !OpensOutbound(parsed, packet)) return {};
  const Service& gateway = *outbound.gateway;
  if (outbound.verdict != Verdict::kForwarded) {
    worker_.services[gateway.slot].session_limit_packets.Add(1);
    return {kNoFlow, outbound.verdict};
  }
  if (TtlRunsOut(parsed, packet)) return {kNoFlow, Verdict::kTtlExceeded};
  const Backend& outside = gateway.backends.front();
  SessionId session = kNoSession;
  if (outbound.from_inside) {
    const auto outcome = gateway.mode->Open(context, gateway, outside, packet, parsed);
    if (const Verdict* refusal = std::get_if<Verdict>(&outcome)) return {kNoFlow, *refusal};
    session = *std::get_if<SessionId>(&outcome);
  } else {
    session = OpenInbound(context, outbound.target, key);
    if (session == kNoSession) return {kNoFlow, Verdict::kSessionTableFull};
  }
  Register(context, session, gateway, outside, key.protocol);
  sessions_.Complete(session);
  return {sessions_.Find(key), Verdict::kForwarded};
}

Verdict Pipeline::TurnRound(const PacketContext& context, FlowRef flow, Burst& burst, uint32_t i) {
  const Steering& steering = *context.snapshot.steering;
  if (steering.worker_count() == 1) return Verdict::kNoSession;
  const net::FlowKey rewrite = sessions_.RewriteOf(flow);
  burst.HandOff(i, steering.OwnerOf(HomeBucketOf(context.snapshot, rewrite)), Steered::kTurned);
  return Verdict::kConsumed;
}

}  // namespace steelyard::core
