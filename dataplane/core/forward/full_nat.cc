// SPDX-License-Identifier: Apache-2.0
//
// Full NAT: C→V becomes L→R, R→L becomes V→C. The backend answers the box whatever its routes say,
// and learns the client's address from a TCP option (TOA) or a PROXY header.
//
// A local port comes back soon after its session ends, while the backend may still hold the last
// connection in TIME-WAIT. For the new SYN to be accepted there, every session gets an initial
// sequence number from a clock of the box (RFC 6528's, rising over all uses of one tuple, as RFC
// 6191 asks), and its timestamps, where there are any, are shifted onto one clock of the box (RFC
// 7323 section 5, PAWS).
#include "core/forward/forwarding_mode.h"
#include "core/forward/local_port.h"
#include "core/forward/mss_clamp.h"
#include "core/forward/proxy_protocol.h"
#include "core/forward/tcp_adjust.h"
#include "core/forward/translate.h"
#include "core/forward/translate_family.h"
#include "core/icmp_error.h"

namespace steelyard::core {
namespace {

using net::ChecksumDelta;
using net::Family;
using net::HeaderAt;
using net::Packet;
using net::ParsedPacket;

// RFC 6528: a clock plus a secret function of the tuple. One step in 64 ns, not the RFC's 4 µs: an
// upload of more than 250 kB/s would overtake that one. It wraps after 275 s, long after a
// TIME-WAIT.
uint32_t InitialSequence(const PacketContext& context, const net::FlowKey& tuple) {
  const uint64_t unix_ns = context.now_ns + context.snapshot.unix_epoch_offset_ns;
  const uint64_t tuple_hash = KeyHash(tuple, context.sessions.secret());
  return static_cast<uint32_t>(unix_ns / 64) + static_cast<uint32_t>(tuple_hash >> 24);
}

// A clock of 1 ms, the fastest that RFC 7323 section 5.4 allows a client: no client's gets ahead of
// it.
uint32_t TimestampClock(const PacketContext& context) {
  return static_cast<uint32_t>((context.now_ns + context.snapshot.unix_epoch_offset_ns) /
                               1'000'000);
}

void SetClocks(const PacketContext& context, SessionId session, const net::FlowKey& tuple,
               const Packet& syn, const ParsedPacket& parsed) {
  const auto& tcp = HeaderAt<net::TcpHeader>(syn, parsed.l4_offset);
  const uint32_t sequence_delta = InitialSequence(context, tuple) - tcp.sequence.value();
  const uint32_t timestamp_delta =
      parsed.timestamps_offset == 0
          ? 0
          : TimestampClock(context) -
                HeaderAt<net::Be32>(syn, parsed.timestamps_offset + 2u).value();
  for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
    FlowState& state = context.sessions.state(RefOf(session, direction));
    state.sequence_delta = sequence_delta;
    state.timestamp_delta = timestamp_delta;
  }
}

const Service* ServiceOf(const PacketContext& context, FlowRef flow) {
  return context.snapshot.service(context.sessions.record(SessionOf(flow)).service_slot);
}

// The option as it goes on the wire; returns its length.
uint8_t WriteToa(uint8_t kind, const net::FlowKey& client_flow, uint8_t* out) {
  const net::IpAddress& client = client_flow.source.address;
  const uint8_t bytes = ClientAddress::ToaBytes(client.family());
  const uint8_t address_bytes = client.is_v4() ? 4 : 16;
  out[0] = kind;
  out[1] = bytes;
  std::memcpy(out + 2, &client_flow.source.port, 2);
  std::memcpy(out + 4, client.v6().bytes.data() + 16 - address_bytes, address_bytes);
  return bytes;
}

bool CarriesToa(const ClientAddress& client_address, const ParsedPacket& parsed) {
  if (client_address.carrier != ClientAddressCarrier::kToa || (parsed.tcp_flags & net::kTcpRst))
    return false;
  return (parsed.tcp_flags & net::kTcpSyn) == 0 || client_address.toa_on_syn;
}

ChecksumDelta AddToa(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                     ParsedPacket& parsed, Packet& packet) {
  const Service* service = ServiceOf(context, flow);
  if (service == nullptr || !CarriesToa(service->client_address, parsed)) return {};
  uint8_t option[20];
  const uint8_t bytes =
      WriteToa(service->client_address.toa_kind, context.sessions.KeyOf(flow), option);
  const size_t tcp_bytes = parsed.payload_offset - parsed.l4_offset;
  const size_t datagram_bytes = parsed.l3_end - net::kL3Offset;
  if (tcp_bytes + bytes > net::kMaxTcpHeaderBytes || datagram_bytes + bytes > next_hop.mtu ||
      packet.headroom < bytes)
    return {};
  return InsertTcpOption(option, bytes, parsed, packet);
}

uint8_t ClientAddressBytes(const SessionTable& sessions, FlowRef flow) {
  if (DirectionOf(flow) == Direction::kReverse) return 0;
  const uint8_t flags = sessions.state(flow).flags;
  const net::Family family = sessions.KeyOf(flow).source.address.family();
  if (flags & kFlowProxyHeaderPending) return ProxyHeaderBytes(family);
  return flags & kFlowClientAddressPending ? ClientAddress::ToaBytes(family) : uint8_t{0};
}

// Both sides' families, by FlowFlags.
Family KeyFamily(uint8_t flags) {
  return flags & kFlowKeyIsIpv4 ? Family::kIpv4 : Family::kIpv6;
}
Family RewriteFamily(uint8_t flags) {
  return flags & kFlowRewriteIsIpv4 ? Family::kIpv4 : Family::kIpv6;
}

uint16_t MaxSegment(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                    uint16_t reserved_bytes = 0) {
  const uint8_t flags = context.sessions.state(flow).flags;
  return MaxSegmentBytes(context, next_hop, KeyFamily(flags), RewriteFamily(flags), reserved_bytes);
}

void ChangeFamilyOf(const PacketContext& context, FlowRef flow, ParsedPacket& parsed,
                    Packet& packet) {
  const net::FlowKey rewrite = context.sessions.RewriteOf(flow);
  ChangeFamily(rewrite.source.address, rewrite.destination.address,
               context.worker.ip_identification++, parsed, packet);
}

// Whether the packet is a segment of an opened connection like most: only addresses, ports and
// clocks change.
bool NeedsNoMore(const FlowState& state, const ParsedPacket& parsed) {
  constexpr uint8_t kMore =
      kFlowClientAddressPending | kFlowProxyHeaderPending | kFlowProxyHeader | kFlowResizes;
  return state.protocol == net::L4Protocol::kTcp && (state.flags & kMore) == 0 &&
         (parsed.tcp_flags & (net::kTcpSyn | net::kTcpAck)) == net::kTcpAck &&
         !parsed.has_other_options && parsed.sack_offset == 0;
}

ChecksumDelta AdjustFromClient(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                               ParsedPacket& parsed, Packet& packet) {
  const FlowState& state = context.sessions.state(flow);
  ChecksumDelta changes;
  if (parsed.tcp_flags & net::kTcpSyn) {
    changes.Add(ClampMss(MaxSegment(context, flow, next_hop), parsed, packet));
    if (state.flags & kFlowProxyHeader) changes.Add(CutFastOpen(parsed, packet));
  }
  if (state.flags & kFlowProxyHeaderPending) [[unlikely]]
    changes.Add(ShiftSequencePastHeader(context.sessions, flow, parsed, packet));
  else
    changes.Add(ShiftSequence(state.sequence_delta, state.timestamp_delta, parsed, packet));
  if (parsed.has_other_options) [[unlikely]] {
    const Service* service = ServiceOf(context, flow);
    const uint8_t kind = service ? service->client_address.toa_kind : ClientAddress{}.toa_kind;
    changes.Add(BlankTcpOptions(kind, parsed, packet));
  }
  if (state.flags & kFlowClientAddressPending)
    changes.Add(AddToa(context, flow, next_hop, parsed, packet));
  return changes;
}

ChecksumDelta AdjustFromBackend(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                                const ParsedPacket& parsed, Packet& packet) {
  FlowState& state = context.sessions.state(flow);
  ChecksumDelta changes;
  if (parsed.tcp_flags & net::kTcpSyn) {
    const uint8_t reserved_bytes = ClientAddressBytes(context.sessions, OtherDirection(flow));
    changes.Add(ClampMss(MaxSegment(context, flow, next_hop, reserved_bytes), parsed, packet));
  }
  const bool near_header = (state.flags & kFlowProxyHeaderPending) ||
                           (parsed.sack_offset != 0 && (state.flags & kFlowProxyHeader));
  if (near_header) [[unlikely]]
    changes.Add(ShiftAcknowledgmentBeforeHeader(context.sessions, flow, parsed, packet));
  else
    changes.Add(ShiftAcknowledgment(state.sequence_delta, state.timestamp_delta, parsed, packet));
  if ((state.flags & kFlowClientAddressPending) && parsed.payload_bytes() != 0) {
    constexpr auto kClear = static_cast<uint8_t>(~kFlowClientAddressPending);
    state.flags &= kClear;
    context.sessions.state(OtherDirection(flow)).flags &= kClear;
  }
  return changes;
}

[[gnu::noinline]] void RewriteOtherwise(const PacketContext& context, FlowRef flow,
                                        const NextHop& next_hop, ParsedPacket& parsed,
                                        Packet& packet) {
  const uint8_t flags = context.sessions.state(flow).flags;
  if (flags & kFlowResizes) ChangeFamilyOf(context, flow, parsed, packet);
  const bool from_client = DirectionOf(flow) == Direction::kForward;
  ChecksumDelta changes;
  if (parsed.protocol() == net::L4Protocol::kTcp)
    changes = from_client ? AdjustFromClient(context, flow, next_hop, parsed, packet)
                          : AdjustFromBackend(context, flow, next_hop, parsed, packet);
  else if (from_client && (flags & kFlowProxyHeaderPending))
    changes = AddProxyHeaderToDatagram(context.sessions, flow, parsed, packet);
  TranslatePacket(context.sessions, flow, parsed, packet, changes);
}

class FullNatMode : public ForwardingMode {
 public:
  std::string_view name() const override { return "full_nat"; }

  net::Status Check(const Service& service, const Backend& backend) const override {
    if (service.local_addresses.of(backend.endpoint.address.family()).empty())
      return net::Error{"full NAT needs a local address of the backend's family"};
    return net::Ok{};
  }

  OpenOutcome Open(const PacketContext& context, const Service& service, const Backend& backend,
                   const Packet& packet, const ParsedPacket& parsed) const override {
    const auto local = ChooseLocalEndpoint(
        context, service,
        {.local_addresses = service.local_addresses.of(backend.endpoint.address.family()),
         .remote = backend.endpoint,
         .protocol = service.protocol,
         .paired_with = {}});
    if (!local) return net::Verdict::kLocalPortsExhausted;
    const net::FlowKey client_flow = parsed.key();
    const net::FlowKey backend_flow(*local, backend.endpoint, service.protocol);
    const SessionId session = context.sessions.Insert(
        {client_flow, backend_flow}, {backend_flow.Reversed(), client_flow.Reversed()});
    if (session == kNoSession) return net::Verdict::kSessionTableFull;
    if (client_flow.is_v4() != backend_flow.is_v4())
      for (const Direction direction : {Direction::kForward, Direction::kReverse})
        context.sessions.state(RefOf(session, direction)).flags |= kFlowResizes;
    if (service.protocol == net::L4Protocol::kTcp) {
      SetClocks(context, session, backend_flow, packet, parsed);
      if (service.client_address.carrier == ClientAddressCarrier::kToa)
        for (const Direction direction : {Direction::kForward, Direction::kReverse})
          context.sessions.state(RefOf(session, direction)).flags |= kFlowClientAddressPending;
    }
    if (service.client_address.carrier == ClientAddressCarrier::kProxyV2)
      StartProxyHeader(context.sessions, session, service.client_address.first_datagram_only,
                       parsed, packet);
    return session;
  }

  void Rewrite(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
               ParsedPacket& parsed, Packet& packet) const override {
    const FlowState& state = context.sessions.state(flow);
    if (!NeedsNoMore(state, parsed)) [[unlikely]]
      return RewriteOtherwise(context, flow, next_hop, parsed, packet);
    TranslatePacket(
        context.sessions, flow, parsed, packet,
        ShiftClock(DirectionOf(flow), state.sequence_delta, state.timestamp_delta, parsed, packet));
  }

  int AddedBytes(const PacketContext& context, FlowRef flow, const ParsedPacket& parsed,
                 const Packet& packet) const override {
    const uint8_t flags = context.sessions.state(flow).flags;
    int bytes = ChangesFamily(flags) ? FamilyChangeBytes(parsed) : 0;
    if (flags & kFlowProxyHeaderPending)
      bytes += ProxyHeaderBytesOn(context.sessions, flow, parsed, packet);
    return bytes;
  }

  int MostAddedBytes(const SessionTable& sessions, FlowRef flow) const override {
    const int client_address_bytes = ClientAddressBytes(sessions, flow);
    const uint8_t flags = sessions.state(flow).flags;
    if (!ChangesFamily(flags)) return client_address_bytes;
    return client_address_bytes +
           (KeyFamily(flags) == Family::kIpv4 ? kFamilyHeaderBytes : -kFamilyHeaderBytes);
  }

  net::Verdict RewriteIcmpError(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                                ParsedPacket& parsed, Packet& packet) const override {
    const int added_bytes = MostAddedBytes(context.sessions, OtherDirection(flow));
    if (ChangesFamily(context.sessions.state(flow).flags)) {
      const net::Verdict verdict =
          ChangeIcmpErrorFamily({.added_bytes = added_bytes, .next_hop_mtu = next_hop.mtu},
                                context.worker.ip_identification++, parsed, packet);
      if (verdict != net::Verdict::kForwarded) return verdict;
    }
    TranslateIcmpError(context.sessions, flow, added_bytes, parsed, packet);
    return net::Verdict::kForwarded;
  }
};

}  // namespace

const ForwardingMode& FullNat() {
  static const FullNatMode mode;
  return mode;
}

}  // namespace steelyard::core
