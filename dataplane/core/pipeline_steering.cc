// SPDX-License-Identifier: Apache-2.0
#include "core/icmp_error.h"
#include "core/pipeline.h"

namespace steelyard::core {

using net::PacketClass;
using net::ParsedPacket;

namespace {

bool IsSteered(Steered steered, const ParsedPacket& parsed) {
  if (steered == Steered::kByPort)
    return parsed.packet_class == PacketClass::kFlow && !net::IsIcmp(parsed.protocol());
  return steered != Steered::kNot;
}

}  // namespace

std::optional<net::FlowKey> Pipeline::SteeringKey(const net::Packet& packet,
                                                  const ParsedPacket& parsed) const {
  switch (parsed.packet_class) {
    case PacketClass::kFlow:
    case PacketClass::kFragment:  // by its addresses: whoever has one of a datagram has all
      return parsed.key();
    case PacketClass::kIcmpError:
      return KeyOfIcmpError(parsed);
    case PacketClass::kTunnelError:
      return net::QuotedInnerFlow(packet, parsed, 0);
    case PacketClass::kMalformed:
    case PacketClass::kOther:
      break;
  }
  return std::nullopt;
}

// The stage: packets that their port has not brought to where their hash leads.
void Pipeline::Steer(const Snapshot& snapshot, Burst& burst) {
  const Steering& steering = *snapshot.steering;
  for (uint32_t i = 0; i < burst.count; ++i) {
    ParsedPacket& parsed = parsed_[i];
    if (IsSteered(burst.steered[i], parsed)) [[likely]]
      continue;
    uint32_t bucket;
    if (parsed.packet_class == PacketClass::kFlow) {
      bucket = parsed.family == net::Family::kIpv4 ? steering.BucketOf(parsed.v4)
                                                   : steering.BucketOf(parsed.v6);
    } else if (const auto key = SteeringKey(burst.packet[i], parsed)) {
      bucket = steering.BucketOf(*key);
    } else {
      continue;
    }
    const uint32_t owner = steering.OwnerOf(bucket);
    burst.steered[i] = Steered::kByHash;
    if (owner == worker_index_) continue;
    burst.HandOff(i, owner, Steered::kByHash);
    parsed.packet_class = PacketClass::kOther;  // of no more interest here
  }
}

// A packet goes no further than that: its session ended, where it was not met there.
net::Verdict Pipeline::FollowRedirect(const PacketContext& context, FlowRef flow, Burst& burst,
                                      uint32_t i) {
  if (IsHome(burst.steered[i])) return net::Verdict::kNoSession;
  FlowState& state = sessions_.state(flow);
  state.last_seen_ms = context.now_ms;
  burst.HandOff(i, RedirectTarget(state), Steered::kHome);
  return net::Verdict::kConsumed;
}

bool Pipeline::HandHome(const PacketContext& context, uint32_t home_bucket, Burst& burst,
                        uint32_t i) const {
  const uint32_t owner = context.snapshot.steering->OwnerOf(home_bucket);
  if (owner == worker_index_ || IsHome(burst.steered[i])) return false;
  burst.HandOff(i, owner, Steered::kHome);
  return true;
}

void Pipeline::CheckOwnership(const PacketContext& context, SessionId session) {
  const uint32_t home_bucket = sessions_.record(session).home_bucket;
  if (context.snapshot.steering->OwnerOf(home_bucket) != worker_index_)
    worker_.counters.foreign_packets.Add(1);
}

}  // namespace steelyard::core
