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

// The stage: packets that their port has not brought to where their hash leads. All are hashed
// before the first is judged: where a packet goes is not to be guessed, and behind each wrong guess
// the next hash would begin anew.
void Pipeline::Steer(const Snapshot& snapshot, Burst& burst) {
  std::array<uint32_t, kBurstCapacity> owners;
  for (uint32_t i = 0; i < burst.count; ++i) owners[i] = OwnerByHash(*snapshot.steering, burst, i);
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (owners[i] == worker_index_) continue;
    burst.HandOff(i, owners[i], Steered::kByHash);
    parsed_[i].packet_class = PacketClass::kOther;  // of no more interest here
  }
}

// Of a packet that is where it belongs already: this worker.
uint32_t Pipeline::OwnerByHash(const Steering& steering, Burst& burst, uint32_t i) const {
  const ParsedPacket& parsed = parsed_[i];
  if (IsSteered(burst.steered[i], parsed)) [[likely]]
    return worker_index_;
  uint32_t bucket;
  if (parsed.packet_class == PacketClass::kFlow) {
    bucket = parsed.family == net::Family::kIpv4 ? steering.BucketOf(parsed.v4)
                                                 : steering.BucketOf(parsed.v6);
  } else if (const auto key = SteeringKey(burst.packet[i], parsed)) {
    bucket = steering.BucketOf(*key);
  } else {
    return worker_index_;
  }
  burst.steered[i] = Steered::kByHash;
  return steering.OwnerOf(bucket);
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
