// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/icmp_answer.h"
#include "core/pipeline.h"
#include "core/pipeline_steps.h"

namespace steelyard::core {

using net::L4Protocol;
using net::ParsedPacket;
using net::Verdict;

// A segment in the middle of a connection belongs to one that went on without a session, or whose
// session is lost.
bool Pipeline::GoesOnStateless(const PacketContext& context, const Service& service,
                               const ParsedPacket& parsed) {
  if (service.protocol == L4Protocol::kTcp && EventOf(parsed.tcp_flags) != TcpEvent::kSyn)
    return true;
  return !TakeNewSessionToken(service, worker_.new_session_buckets[service.slot], context.now_ns);
}

Pipeline::Choice Pipeline::ChooseStateless(const Service& service, const net::FlowKey& key) const {
  uint32_t cursor = 0;
  const uint32_t chosen = service.stateless_scheduler->Choose(
      {key, service.backends, worker_.backends, worker_.backend_shares, cursor});
  if (chosen == kNoBackend) return {nullptr, Verdict::kNoBackend};
  return {&service.backends[chosen]};
}

Verdict Pipeline::ForwardStateless(const PacketContext& context, const Service& service,
                                   const net::FlowKey& client_flow, Burst& burst, uint32_t i) {
  ParsedPacket& parsed = parsed_[i];
  net::Packet& packet = burst.packet[i];
  const Choice choice = ChooseStateless(service, client_flow);
  if (choice.backend == nullptr) return choice.verdict;
  const Backend& backend = *choice.backend;
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
  worker_.backends[backend.slot].Count(Direction::kForward, packet.length);
  worker_.counters.stateless_packets.Add(1);
  service.mode->RewriteStateless(context, service, backend, parsed, packet);
  SetLinkLayer(next_hop, packet);
  burst.out_port[i] = next_hop.port;
  return verdict;
}

}  // namespace steelyard::core
