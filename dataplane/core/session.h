// SPDX-License-Identifier: Apache-2.0
//
// What the packet path knows of a session: two flow records, one for each direction, each found by
// the key that its packets carry and holding all that a packet of it needs. In the steady state a
// packet touches one bucket of the table and one flow record, nothing else of the session.
//
// Records refer to each other by index and hold no pointer: they live in memory that outlasts the
// process, and the next one takes them over (core/session_adoption.h), wherever this one was
// killed. So a session is written whole before its stage says so. Owned by one worker. Zeroed
// memory is a valid unused record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/tcp_state.h"
#include "net/address.h"
#include "net/flow_key.h"

namespace steelyard::core {

using SessionId = uint32_t;  // dense; narrow sessions first, wide ones after them
using FlowRef = uint32_t;    // SessionId << 1 | direction

inline constexpr SessionId kNoSession = UINT32_MAX >> 1;
inline constexpr FlowRef kNoFlow = UINT32_MAX;

constexpr FlowRef RefOf(SessionId session, Direction direction) {
  return session << 1 | static_cast<uint32_t>(direction);
}
constexpr SessionId SessionOf(FlowRef flow) {
  return flow >> 1;
}
constexpr Direction DirectionOf(FlowRef flow) {
  return static_cast<Direction>(flow & 1);
}
constexpr FlowRef OtherDirection(FlowRef flow) {
  return flow ^ 1;
}

// Whether a session has packets in both directions, one, or none.
enum class SessionKind : uint8_t {
  kTwoWay,
  // Only the client's packets pass the box; nothing is found by the reverse key.
  kOneWay,
  // No packet's: it remembers a choice for sessions to come and lives at least as long as any that
  // were opened by it (IPVS's connection templates). Its keys have a TemplateProtocol.
  kTemplate,
  // No session of its own: packets with its forward key belong to a session of another worker,
  // whose index stands in backend_slot. Found by the forward key only.
  kRedirect,
};
inline constexpr size_t kSessionKindCount = 4;

constexpr bool IsFoundByReverseKey(SessionKind kind) {
  return kind == SessionKind::kTwoWay || kind == SessionKind::kTemplate;
}

// How far a session has come. Only complete ones outlive the process.
enum class SessionStage : uint8_t {
  kUnused,
  kOpening,
  kComplete,
};

// Whose FIN a TCP session has seen; of both, whose came last.
enum class FinSender : uint8_t {
  kNobody,
  kClient,
  kBackend,
  kBothAtOnce,  // neither had the other's
};

// The protocol in a template's keys. The parser gives flows of a few protocols only, so no packet
// ever has such a key.
constexpr net::L4Protocol TemplateProtocol(net::L4Protocol protocol) {
  return static_cast<net::L4Protocol>(static_cast<uint8_t>(protocol) | 0x80);
}

enum FlowFlags : uint8_t {
  // Forward: segments carry the client's address. Reverse: the backend's first payload ends that.
  kFlowClientAddressPending = 1 << 0,
  // The sides' families, for wide records; a narrow record is IPv4 on both.
  kFlowKeyIsIpv4 = 1 << 1,
  kFlowRewriteIsIpv4 = 1 << 2,
  // TCP: a PROXY header stands before the client's bytes. UDP: before those of every datagram.
  kFlowProxyHeader = 1 << 3,
  // TCP: the backend has not acknowledged it. UDP: the next datagram gets one.
  kFlowProxyHeaderPending = 1 << 4,
  // Rewrite makes packets longer or shorter: ForwardingMode::AddedBytes says by how much.
  kFlowResizes = 1 << 5,
  // Packets leave with the TTL that they came with.
  kFlowKeepsTtl = 1 << 6,
  kFlowOneWay = 1 << 7,
};

// Of a NAT's flow: IPv4 on one side, IPv6 on the other.
constexpr bool ChangesFamily(uint8_t flags) {
  constexpr uint8_t kBothIpv4 = kFlowKeyIsIpv4 | kFlowRewriteIsIpv4;
  return (flags & kFlowOneWay) == 0 && (flags & kBothIpv4) != 0 && (flags & kBothIpv4) != kBothIpv4;
}

// The part that narrow and wide records share; first in both.
struct FlowState {
  uint64_t bytes;
  uint32_t packets;
  uint32_t last_seen_ms;
  uint32_t backend_slot;
  uint32_t
      next_hop_generation;  // Snapshot::forwarding_generation under which next_hop was looked up
  uint32_t sequence_delta;  // forward: added to the sequence; reverse: taken from acknowledgments
  union {
    uint32_t timestamp_delta;  // forward: added to TSval; reverse: taken from TSecr
    uint8_t outer_ttl;         // of tunnels
  };
  uint16_t next_hop;                // index into Network::next_hops
  uint16_t address_checksum_delta;  // folded, of both addresses
  TcpState tcp_state;               // the same in both directions
  uint8_t flags;                    // FlowFlags
  net::L4Protocol protocol;         // part of the key
  uint8_t forwarding_mode;          // ForwardingMode::index(), or kRedirectMode
};
static_assert(sizeof(FlowState) == 40);

// A redirect ends when no packet used it for so long.
inline constexpr uint32_t kRedirectTimeoutMs = 3'600'000;

// In the place of a forwarding mode: the flow is SessionKind::kRedirect's.
inline constexpr uint8_t kRedirectMode = 0xff;

inline bool IsRedirect(const FlowState& state) {
  return state.forwarding_mode == kRedirectMode;
}
// The worker that the packets of a redirect belong to.
inline uint32_t RedirectTarget(const FlowState& state) {
  return state.backend_slot;
}

// Whether a plain packet (net::ParsedPacket::is_plain) of the flow finds nothing pending and
// changes no state: its session is opened, and no redirect. As one number: it is asked of every
// packet.
inline bool IsSteady(const FlowState& state) {
  constexpr auto word = [](TcpState tcp_state, int flags, net::L4Protocol protocol, int mode) {
    return static_cast<uint32_t>(tcp_state) | static_cast<uint32_t>(flags) << 8 |
           static_cast<uint32_t>(protocol) << 16 | static_cast<uint32_t>(mode) << 24;
  };
  constexpr size_t kAt = offsetof(FlowState, tcp_state);
  static_assert(offsetof(FlowState, flags) == kAt + 1 && offsetof(FlowState, protocol) == kAt + 2 &&
                offsetof(FlowState, forwarding_mode) == kAt + 3);
  constexpr int kPending = kFlowClientAddressPending | kFlowProxyHeader | kFlowProxyHeaderPending;
  constexpr uint32_t kAsked =
      word(TcpState{0xff}, kPending, net::L4Protocol{0xff}, kRedirectMode & 0x80);
  uint32_t found;
  std::memcpy(&found, reinterpret_cast<const char*>(&state) + kAt, sizeof found);
  found &= kAsked;
  return found == word(TcpState::kEstablished, 0, net::L4Protocol::kTcp, 0) ||
         found == word(TcpState::kNone, 0, net::L4Protocol::kUdp, 0);
}

// The flags of a flow that is translated and nothing else, whatever its mode.
constexpr uint8_t FlagsOfTranslated(net::Family family) {
  return family == net::Family::kIpv4 ? kFlowKeyIsIpv4 | kFlowRewriteIsIpv4 : uint8_t{0};
}

// A flow between IPv4 addresses on both sides: one cache line.
struct alignas(64) NarrowFlow {
  FlowState state;
  net::Ipv4Address source, destination;  // the key
  net::Be16 source_port, destination_port;
  net::Ipv4Address new_source, new_destination;  // the rewrite
  net::Be16 new_source_port, new_destination_port;

  // Addresses and ports at once: they lie as in the key.
  bool Matches(const net::FlowKey4& key) const {
    constexpr size_t kBytes = offsetof(net::FlowKey4, protocol);
    return std::memcmp(reinterpret_cast<const char*>(this) + kKeyOffset, &key, kBytes) == 0 &&
           state.protocol == key.protocol;
  }
  static constexpr size_t kKeyOffset = sizeof(FlowState);
};
static_assert(sizeof(NarrowFlow) == 64 && offsetof(NarrowFlow, source) == NarrowFlow::kKeyOffset &&
              offsetof(NarrowFlow, destination_port) - NarrowFlow::kKeyOffset ==
                  offsetof(net::FlowKey4, destination_port));

// A flow with IPv6 on one side or both: two cache lines. An IPv4 side is in IPv4-mapped form.
struct alignas(64) WideFlow {
  FlowState state;
  net::Ipv6Address source, destination;
  net::Be16 source_port, destination_port;
  net::Ipv6Address new_source, new_destination;
  net::Be16 new_source_port, new_destination_port;

  bool Matches(const net::FlowKey6& key) const {
    return source == key.source && destination == key.destination &&
           source_port == key.source_port && destination_port == key.destination_port &&
           state.protocol == key.protocol;
  }
};
static_assert(sizeof(WideFlow) == 128);

// The record that begins with a flow's state.
template <typename Record>
Record& RecordOf(FlowState& state) {
  static_assert(offsetof(Record, state) == 0 && std::is_standard_layout_v<Record>);
  return reinterpret_cast<Record&>(state);
}

// The part that only opening, expiry and listing look at.
struct SessionRecord {
  uint32_t service_slot;
  uint32_t created_ms;
  union {
    uint32_t next_free;           // session + 1 while unused; 0 ends the list
    uint32_t fin_acknowledgment;  // core/tcp_closing.h
  };
  uint32_t initial_sequence;  // the client's, when a PROXY header stands behind it
  uint32_t parent_template;   // session + 1 of the template that it was opened by; 0: none
  uint32_t child_count;       // of a template: sessions that name it
  SessionStage stage;
  SessionKind kind;
  uint8_t home_bucket;  // core/home.h: whose owner this session has
  FinSender fin_sender;

  bool in_use() const { return stage != SessionStage::kUnused; }
};
static_assert(sizeof(SessionRecord) == 28);

}  // namespace steelyard::core
