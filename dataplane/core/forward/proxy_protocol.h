// SPDX-License-Identifier: Apache-2.0
//
// The PROXY protocol, version 2 (haproxy's doc/proxy-protocol.txt, section 2.2): a header before
// the client's bytes tells the backend who the client is and which address it spoke to, both as the
// client saw them, whatever family the backend is reached by. No TLVs.
//
// Over TCP the header stands in the sequence space, right behind the initial sequence number (ISN)
// that the backend is shown, and everything of the client's behind its SYN lies H bytes further on:
//
//   client's numbers      ISN     | byte 0, byte 1, …
//   backend's numbers     ISN + d | header, H bytes | byte 0, byte 1, …
//
// The header goes along with every segment that begins the client's stream (the ACK that completes
// the handshake, the first data, either again), byte for byte the same, until the backend has
// acknowledged it whole. From then on H is part of FlowState::sequence_delta and a segment takes
// the way that one without a header takes. The client is never shown that bytes of the header were
// acknowledged, and no byte of its can come to stand where the header stands: what it sends in
// front of its stream is cut off, and so is what it sends on a SYN (RFC 7413).
//
// Over UDP the header stands before the payload of every datagram of a session, or of its first.
//
// Functions of the packet path: one worker's thread owns the sessions.
#pragma once

#include <cstdint>

#include "core/session_table.h"
#include "net/checksum.h"
#include "net/parser.h"

namespace steelyard::core {

inline constexpr uint8_t kMaxProxyHeaderBytes = 52;

constexpr uint8_t ProxyHeaderBytes(net::Family client_family) {
  return client_family == net::Family::kIpv4 ? 28 : kMaxProxyHeaderBytes;
}

// `client_flow` is the client's own: from it to the VIP. Returns the bytes written.
uint8_t WriteProxyHeader(const net::FlowKey& client_flow, uint8_t* out);

// A new session, opened by that packet of the client's, gets the header.
void StartProxyHeader(SessionTable& sessions, SessionId session, bool first_datagram_only,
                      const net::ParsedPacket& parsed, const net::Packet& packet);

// The bytes that the header will add to this packet of a flow with kFlowProxyHeaderPending; 0: it
// goes without. Whoever has it rewritten makes sure that they fit into the MTU and the headroom.
uint8_t ProxyHeaderBytesOn(const SessionTable& sessions, FlowRef flow,
                           const net::ParsedPacket& parsed, const net::Packet& packet);

// The client's segment, while kFlowProxyHeaderPending: its sequence number becomes the backend's,
// and the header is put before its payload if it is one that begins the stream. Returns the change
// under the TCP checksum, as all of these do.
net::ChecksumDelta ShiftSequencePastHeader(const SessionTable& sessions, FlowRef flow,
                                           net::ParsedPacket& parsed, net::Packet& packet);

// The client's SYN of a session with kFlowProxyHeader, before anything is shifted: data on it would
// stand where the header belongs.
net::ChecksumDelta CutFastOpen(net::ParsedPacket& parsed, net::Packet& packet);

// The backend's segment, while kFlowProxyHeaderPending or when it has SACK blocks: acknowledgments
// become the client's. The one that covers the whole header ends kFlowProxyHeaderPending.
//
// A late duplicate of an acknowledgment from before that moment is not recognised any more and
// reaches the client as one of up to H bytes before its first: old, so that it is ignored (RFC 9293
// section 3.10.7.4) or answered with an ACK (RFC 5961 section 5).
net::ChecksumDelta ShiftAcknowledgmentBeforeHeader(SessionTable& sessions, FlowRef flow,
                                                   const net::ParsedPacket& parsed,
                                                   net::Packet& packet);

// The client's number for one that the backend was shown, in a session with kFlowProxyHeader.
uint32_t ClientSequence(const SessionTable& sessions, FlowRef flow, uint32_t backend_sequence);

// The client's datagram, while kFlowProxyHeaderPending.
net::ChecksumDelta AddProxyHeaderToDatagram(SessionTable& sessions, FlowRef flow,
                                            net::ParsedPacket& parsed, net::Packet& packet);

}  // namespace steelyard::core
