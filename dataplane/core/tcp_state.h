// SPDX-License-Identifier: Apache-2.0
//
// The TCP states that a balancer in the middle can tell apart, and the one table that moves between
// them. Not an endpoint's machine (RFC 9293 section 3.3.2): it sees segments and no sockets, and
// where backends answer clients directly it sees the client's segments only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/wire.h"

namespace steelyard::core {

enum class Direction : uint8_t {
  kForward = 0,  // client to backend
  kReverse = 1,
};

enum class TcpState : uint8_t {
  kNone,         // not TCP
  kSynSent,      // the client's SYN
  kSynReceived,  // the backend's SYN-ACK
  kEstablished,  // the client's ACK of it
  kClientFin,    // the client has closed its side
  kBackendFin,   // the backend has
  kLastAck,      // both have; the last FIN may not have arrived
  kTimeWait,     // it has
  kClosed,       // RST by either
};
inline constexpr size_t kTcpStateCount = 9;

enum class TcpEvent : uint8_t { kAck, kSyn, kSynAck, kFin, kRst };
inline constexpr size_t kTcpEventCount = 5;

constexpr TcpEvent EventOf(uint8_t tcp_flags) {
  if (tcp_flags & net::kTcpRst) return TcpEvent::kRst;
  if (tcp_flags & net::kTcpSyn)
    return tcp_flags & net::kTcpAck ? TcpEvent::kSynAck : TcpEvent::kSyn;
  return tcp_flags & net::kTcpFin ? TcpEvent::kFin : TcpEvent::kAck;
}

namespace tcp_state_internal {
using enum TcpState;
using Row = std::array<TcpState, kTcpEventCount>;
// [state][direction][event]; events in the order ACK, SYN, SYN-ACK, FIN, RST.
inline constexpr std::array<std::array<Row, 2>, kTcpStateCount> kTransitions = {{
    {{{{kNone, kNone, kNone, kNone, kNone}}, {{kNone, kNone, kNone, kNone, kNone}}}},
    // kSynSent
    {{{{kSynSent, kSynSent, kSynSent, kSynSent, kClosed}},
      {{kSynSent, kSynSent, kSynReceived, kSynSent, kClosed}}}},
    // kSynReceived
    {{{{kEstablished, kSynReceived, kSynReceived, kClientFin, kClosed}},
      {{kSynReceived, kSynReceived, kSynReceived, kBackendFin, kClosed}}}},
    // kEstablished
    {{{{kEstablished, kEstablished, kEstablished, kClientFin, kClosed}},
      {{kEstablished, kEstablished, kEstablished, kBackendFin, kClosed}}}},
    // kClientFin
    {{{{kClientFin, kClientFin, kClientFin, kClientFin, kClosed}},
      {{kClientFin, kClientFin, kClientFin, kLastAck, kClosed}}}},
    // kBackendFin
    {{{{kBackendFin, kBackendFin, kBackendFin, kLastAck, kClosed}},
      {{kBackendFin, kBackendFin, kBackendFin, kBackendFin, kClosed}}}},
    // kLastAck: whether a segment acknowledges that FIN is for core/tcp_closing.h to see.
    {{{{kTimeWait, kLastAck, kLastAck, kTimeWait, kClosed}},
      {{kTimeWait, kLastAck, kLastAck, kTimeWait, kClosed}}}},
    // kTimeWait
    {{{{kTimeWait, kTimeWait, kTimeWait, kTimeWait, kClosed}},
      {{kTimeWait, kTimeWait, kTimeWait, kTimeWait, kClosed}}}},
    // kClosed
    {{{{kClosed, kClosed, kClosed, kClosed, kClosed}},
      {{kClosed, kClosed, kClosed, kClosed, kClosed}}}},
}};
}  // namespace tcp_state_internal

constexpr TcpState NextState(TcpState state, Direction direction, uint8_t tcp_flags) {
  return tcp_state_internal::kTransitions[static_cast<size_t>(state)][static_cast<size_t>(
      direction)][static_cast<size_t>(EventOf(tcp_flags))];
}

// Of a session whose backend's segments pass elsewhere: the client's acknowledgment is what tells
// that the backend has answered its SYN.
constexpr TcpState NextStateOneWay(TcpState state, uint8_t tcp_flags) {
  const bool acknowledges = (tcp_flags & (net::kTcpAck | net::kTcpSyn)) == net::kTcpAck;
  if (state == TcpState::kSynSent && acknowledges) state = TcpState::kSynReceived;
  return NextState(state, Direction::kForward, tcp_flags);
}

// A client's SYN meets a session that is over: it opens a new one (RFC 9293 section 3.10.7.4,
// TIME-WAIT). Its client knows better than we that the last FIN has arrived.
constexpr bool SynReopens(TcpState state) {
  return state == TcpState::kLastAck || state == TcpState::kTimeWait || state == TcpState::kClosed;
}

// The backend's FIN is not seen: after the client's own, a SYN can only be a new connection's.
constexpr bool SynReopensOneWay(TcpState state) {
  return SynReopens(state) || state == TcpState::kClientFin;
}

constexpr std::string_view ToString(TcpState state) {
  constexpr std::array<std::string_view, kTcpStateCount> kNames = {
      "active",     "syn_sent",    "syn_received", "established",
      "client_fin", "backend_fin", "last_ack",     "time_wait",   "closed"};
  return kNames[static_cast<size_t>(state)];
}

}  // namespace steelyard::core
