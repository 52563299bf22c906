// SPDX-License-Identifier: Apache-2.0
#include "core/icmp_error.h"
#include "core/pipeline.h"
#include "core/pipeline_steps.h"

namespace steelyard::core {

using net::L4Protocol;
using net::ParsedPacket;
using net::Verdict;

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
Verdict Pipeline::FinishTunnelError(const PacketContext& context, Burst& burst, uint32_t i,
                                    size_t inner_offset) {
  const net::Packet& packet = burst.packet[i];
  const ParsedPacket& parsed = parsed_[i];
  const auto inner = net::QuotedInnerFlow(packet, parsed, inner_offset);
  const FlowRef flow = inner ? sessions_.Find(*inner) : kNoFlow;
  if (inner && flow == kNoFlow &&
      HandHome(context, HomeBucketOf(context.snapshot, *inner), burst, i))
    return Verdict::kConsumed;
  constexpr uint8_t kIsTunnel = kFlowOneWay | kFlowResizes;
  if (flow == kNoFlow || (sessions_.state(flow).flags & kIsTunnel) != kIsTunnel ||
      sessions_.RewriteOf(flow).destination.address != parsed.key().destination.address)
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
  if (flow != kNoFlow && IsRedirect(sessions_.state(flow))) [[unlikely]]
    return FollowRedirect(context, flow, burst, i);
  if (flow == kNoFlow &&
      HandHome(context, HomeBucketOf(context.snapshot, KeyOfIcmpError(parsed)), burst, i))
    return Verdict::kConsumed;
  if (const Service* service = ServiceWithoutSession(context, flow, parsed)) {
    if (!VerifyIcmpChecksum(parsed, packet)) return Verdict::kMalformedIcmp;
    return ForwardStateless(context, *service, KeyOfIcmpError(parsed), burst, i);
  }
  if (flow == kNoFlow && parsed.protocol() == L4Protocol::kUdp)
    return FinishTunnelError(context, burst, i, kGueHeadersBytes);
  if (flow == kNoFlow) return Verdict::kPunted;
  if (!VerifyIcmpChecksum(parsed, packet)) return Verdict::kMalformedIcmp;
  const FlowState& state = sessions_.state(flow);
  Verdict verdict = Verdict::kForwarded;
  if (!EnsureNextHop(context, flow, verdict)) return verdict;
  const NextHop& next_hop = NextHopOf(context, state);
  const ForwardingMode& mode = *modes_[state.forwarding_mode];
  // One that changes family is cut to fit.
  if (!ChangesFamily(state.flags) && !Fits(context, flow, next_hop, burst, i))
    return Verdict::kPacketTooBig;
  TrimPadding(parsed, packet);
  const bool keeps_ttl = (state.flags & kFlowKeepsTtl) || burst.steered[i] == Steered::kTurned;
  if (!keeps_ttl && !DecrementTtl(parsed, packet)) return Verdict::kTtlExceeded;
  verdict = mode.RewriteIcmpError(context, flow, next_hop, parsed, packet);
  if (verdict != Verdict::kForwarded) return verdict;
  if (state.next_hop == kTurnsRound) return TurnRound(context, flow, burst, i);
  SetLinkLayer(next_hop, packet);
  burst.out_port[i] = next_hop.port;
  return verdict;
}

}  // namespace steelyard::core
