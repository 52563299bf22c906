// SPDX-License-Identifier: Apache-2.0
#include "core/forward/proxy_protocol.h"

#include <algorithm>
#include <cstring>

#include "core/forward/tcp_adjust.h"
#include "core/forward/translate.h"

namespace steelyard::core {

using net::Be16;
using net::ChecksumDelta;
using net::HeaderAt;
using net::L4Protocol;
using net::Packet;
using net::ParsedPacket;
using net::TcpHeader;

namespace {

constexpr uint8_t kSignature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                    '\n', 'Q',  'U',  'I',  'T', '\n'};
constexpr uint8_t kVersion2Proxy = 0x21;

uint8_t* Put(uint8_t* out, const void* bytes, size_t length) {
  std::memcpy(out, bytes, length);
  return out + length;
}

void ClearPending(SessionTable& sessions, FlowRef flow) {
  for (const FlowRef each : {flow, OtherDirection(flow)})
    sessions.state(each).flags &= static_cast<uint8_t>(~kFlowProxyHeaderPending);
}

net::FlowKey ClientFlow(const SessionTable& sessions, FlowRef flow) {
  return sessions.Describe(RefOf(SessionOf(flow), Direction::kForward)).key;
}

// Where the header stands.
struct Stream {
  uint32_t first;         // the client's number of its first byte: ISN + 1
  uint32_t header_shift;  // from the client's numbers to the backend's, up to the header
  uint32_t data_shift;    // the same behind it
  uint32_t header_bytes() const { return data_shift - header_shift; }
  // Signed: how far a sequence number of the client's is behind its first byte.
  int32_t PlaceOf(uint32_t sequence) const { return static_cast<int32_t>(sequence - first); }
};

Stream StreamOf(const SessionTable& sessions, FlowRef flow) {
  const FlowState& state = sessions.state(flow);
  const uint32_t header_bytes =
      ProxyHeaderBytes(ClientFlow(sessions, flow).source.address.family());
  const bool pending = state.flags & kFlowProxyHeaderPending;
  const uint32_t header_shift = state.sequence_delta - (pending ? 0 : header_bytes);
  return {sessions.record(SessionOf(flow)).initial_sequence + 1, header_shift,
          header_shift + header_bytes};
}

bool BeginsStream(const Stream& stream, const ParsedPacket& parsed, const Packet& packet) {
  return (parsed.tcp_flags & (net::kTcpSyn | net::kTcpRst)) == 0 &&
         stream.PlaceOf(HeaderAt<TcpHeader>(packet, parsed.l4_offset).sequence.value()) == 0;
}

// A backend accepts a reset only with the number that it expects next (RFC 5961 section 3). One
// without ACK answers a segment of the backend's and has that segment's acknowledgment for its
// number (RFC 9293 section 3.5.2): the backend has not got the header. One with ACK is the client's
// own idea; by then the header has been sent. Where that was lost, the backend asks back, and the
// client's answer is one without ACK.
uint32_t ShiftOfReset(const Stream& stream, const ParsedPacket& parsed) {
  return parsed.tcp_flags & net::kTcpAck ? stream.data_shift : stream.header_shift;
}

ChecksumDelta InsertHeader(const SessionTable& sessions, FlowRef flow, ParsedPacket& parsed,
                           Packet& packet) {
  uint8_t header[kMaxProxyHeaderBytes];
  const uint8_t bytes = WriteProxyHeader(ClientFlow(sessions, flow), header);
  return InsertPayload(header, bytes, parsed, packet);
}

// It counts from the segment's first byte, which is the header's now. Of a byte that lies further
// on than it can say, a later segment tells.
ChecksumDelta ShiftUrgentPointer(uint32_t bytes, const ParsedPacket& parsed, Packet& packet) {
  if ((parsed.tcp_flags & net::kTcpUrg) == 0) return {};
  auto& tcp = HeaderAt<TcpHeader>(packet, parsed.l4_offset);
  const Be16 urgent(static_cast<uint16_t>(std::min<uint32_t>(tcp.urgent.value() + bytes, 65535)));
  const ChecksumDelta changes = ChecksumDelta().Replace(tcp.urgent, urgent);
  tcp.urgent = urgent;
  return changes;
}

// The header was sent with what completed the handshake: an acknowledgment of it that comes before
// is a stray one, of an earlier connection.
bool HeaderWasSent(const FlowState& state) {
  return state.tcp_state != TcpState::kSynSent && state.tcp_state != TcpState::kSynReceived;
}

}  // namespace

uint8_t WriteProxyHeader(const net::FlowKey& client_flow, uint8_t* out) {
  const bool v4 = client_flow.is_v4();
  const uint8_t bytes = ProxyHeaderBytes(client_flow.source.address.family());
  const Be16 address_bytes(static_cast<uint16_t>(bytes - 16));
  out = Put(out, kSignature, sizeof kSignature);
  *out++ = kVersion2Proxy;
  *out++ = static_cast<uint8_t>((v4 ? 0x10 : 0x20) |
                                (client_flow.protocol == L4Protocol::kTcp ? 0x1 : 0x2));
  out = Put(out, &address_bytes, 2);
  for (const net::Endpoint* end : {&client_flow.source, &client_flow.destination})
    out = Put(out, end->address.v6().bytes.data() + (v4 ? 12 : 0), v4 ? 4 : 16);
  for (const net::Endpoint* end : {&client_flow.source, &client_flow.destination})
    out = Put(out, &end->port, 2);
  return bytes;
}

void StartProxyHeader(SessionTable& sessions, SessionId session, bool first_datagram_only,
                      const ParsedPacket& parsed, const Packet& packet) {
  const bool is_tcp = parsed.protocol() == L4Protocol::kTcp;
  if (is_tcp)
    sessions.record(session).initial_sequence =
        HeaderAt<TcpHeader>(packet, parsed.l4_offset).sequence.value();
  uint8_t flags = kFlowProxyHeaderPending;
  if (is_tcp || !first_datagram_only) flags |= kFlowProxyHeader;
  for (const Direction direction : {Direction::kForward, Direction::kReverse})
    sessions.state(RefOf(session, direction)).flags |= flags;
}

uint8_t ProxyHeaderBytesOn(const SessionTable& sessions, FlowRef flow, const ParsedPacket& parsed,
                           const Packet& packet) {
  if (DirectionOf(flow) == Direction::kReverse) return 0;
  if (parsed.protocol() == L4Protocol::kTcp &&
      !BeginsStream(StreamOf(sessions, flow), parsed, packet))
    return 0;
  return ProxyHeaderBytes(parsed.family);
}

ChecksumDelta ShiftSequencePastHeader(const SessionTable& sessions, FlowRef flow,
                                      ParsedPacket& parsed, Packet& packet) {
  const Stream stream = StreamOf(sessions, flow);
  const uint32_t timestamp_delta = sessions.state(flow).timestamp_delta;
  const int32_t place =
      stream.PlaceOf(HeaderAt<TcpHeader>(packet, parsed.l4_offset).sequence.value());
  const auto shift = [&](uint32_t sequence_delta) {
    return ShiftSequence(sequence_delta, timestamp_delta, parsed, packet);
  };
  if (parsed.tcp_flags & net::kTcpSyn) return shift(stream.header_shift);
  if (place > 0) return shift(stream.data_shift);
  // A keep-alive's or a window probe's old byte (RFC 9293 section 3.8.4), or a header of the
  // client's own making.
  if (place < 0) return CutPayload(parsed, packet).Add(shift(stream.header_shift));
  // A text that a reset may carry (RFC 9293 section 3.5.3) is no part of the stream.
  if (parsed.tcp_flags & net::kTcpRst)
    return CutPayload(parsed, packet).Add(shift(ShiftOfReset(stream, parsed)));
  return InsertHeader(sessions, flow, parsed, packet)
      .Add(ShiftUrgentPointer(stream.header_bytes(), parsed, packet))
      .Add(shift(stream.header_shift));
}

ChecksumDelta CutFastOpen(ParsedPacket& parsed, Packet& packet) {
  ChecksumDelta changes = CutPayload(parsed, packet);
  if (parsed.has_other_options)
    changes.Add(BlankTcpOptions(net::kTcpOptionFastOpen, parsed, packet));
  return changes;
}

ChecksumDelta ShiftAcknowledgmentBeforeHeader(SessionTable& sessions, FlowRef flow,
                                              const ParsedPacket& parsed, Packet& packet) {
  FlowState& state = sessions.state(flow);
  if ((parsed.tcp_flags & net::kTcpAck) == 0) return {};
  const bool pending = state.flags & kFlowProxyHeaderPending;
  const uint32_t acknowledgment =
      HeaderAt<TcpHeader>(packet, parsed.l4_offset).acknowledgment.value();
  // It acknowledges the SYN that the backend took, if the client sent several.
  if (pending && (parsed.tcp_flags & net::kTcpSyn) && !HeaderWasSent(state))
    sessions.record(SessionOf(flow)).initial_sequence = acknowledgment - 1 - state.sequence_delta;
  const Stream stream = StreamOf(sessions, flow);
  if (pending && stream.PlaceOf(acknowledgment - stream.data_shift) >= 0 && HeaderWasSent(state)) {
    ClearPending(sessions, flow);
    state.sequence_delta = stream.data_shift;
    sessions.state(OtherDirection(flow)).sequence_delta = stream.data_shift;
  }
  return ShiftAcknowledgment(stream.data_shift, state.timestamp_delta, parsed, packet)
      .Add(HideSequenceNumbers(stream.first, stream.header_bytes(), parsed, packet));
}

uint32_t ClientSequence(const SessionTable& sessions, FlowRef flow, uint32_t backend_sequence) {
  const Stream stream = StreamOf(sessions, flow);
  return WithoutHidden(backend_sequence - stream.data_shift, stream.first, stream.header_bytes());
}

ChecksumDelta AddProxyHeaderToDatagram(SessionTable& sessions, FlowRef flow, ParsedPacket& parsed,
                                       Packet& packet) {
  if ((sessions.state(flow).flags & kFlowProxyHeader) == 0) ClearPending(sessions, flow);
  return InsertHeader(sessions, flow, parsed, packet);
}

}  // namespace steelyard::core
