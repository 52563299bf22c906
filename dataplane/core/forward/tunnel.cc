// SPDX-License-Identifier: Apache-2.0
//
// Tunnels: C→V is wrapped whole and sent to the backend, which unwraps it, has the VIP on its
// loopback and answers the client directly. Backends may be anywhere that is routed to, and of
// another family than the service.
//
// The outer source (and with GUE its port, over IPv6 the flow label) varies with the flow, so that
// receivers and the routers between spread flows over their queues and paths.
#include "core/forward/encapsulate.h"
#include "core/forward/forwarding_mode.h"
#include "core/forward/mss_clamp.h"
#include "core/forward/tcp_adjust.h"

namespace steelyard::core {
namespace {

using net::Be16;
using net::Packet;
using net::ParsedPacket;

uint64_t EntropyOf(const PacketContext& context, const net::FlowKey& client_flow) {
  return KeyHash(client_flow, context.sessions.secret());
}

uint32_t FlowLabelOf(uint64_t entropy) {
  return static_cast<uint32_t>(entropy >> 32);
}

// The prefix with host bits of the flow's.
net::IpAddress AddressWithin(const net::Prefix& prefix, uint64_t entropy) {
  std::array<uint8_t, 16> bytes = prefix.address.v6().bytes;
  const int first_bit = (prefix.address.is_v4() ? 96 : 0) + prefix.length;
  for (int bit = 127; bit >= first_bit && bit > 127 - 64; --bit, entropy >>= 1)
    if (entropy & 1) bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> (bit % 8));
  if (!prefix.address.is_v4()) return net::Ipv6Address{bytes};
  uint32_t raw;
  std::memcpy(&raw, &bytes[12], 4);
  return net::Ipv4Address{net::Be32::FromRaw(raw)};
}

net::IpAddress OuterSource(const Service& service, net::Family family, uint64_t entropy) {
  for (const net::Prefix& prefix : service.tunnel.source_prefixes)
    if (prefix.address.family() == family) return AddressWithin(prefix, entropy);
  const auto locals = service.local_addresses.of(family);
  return locals[entropy % locals.size()];
}

net::FlowKey OuterFlow(const Service& service, const Backend& backend, uint64_t entropy,
                       net::L4Protocol protocol) {
  const net::IpAddress& receiver = backend.endpoint.address;
  net::FlowKey outer({OuterSource(service, receiver.family(), entropy >> 16), Be16()},
                     {receiver, Be16()}, protocol);
  if (backend.encapsulation == Encapsulation::kGue) {
    constexpr uint16_t kFirstEphemeralPort = 0xc000;  // RFC 6335 section 6
    outer.source.port = Be16(static_cast<uint16_t>(kFirstEphemeralPort | (entropy & 0x3fff)));
    outer.destination.port = service.tunnel.gue_port;
  }
  return outer;
}

bool IsGue(Be16 destination_port) {
  return destination_port.raw() != 0;
}

class TunnelMode : public ForwardingMode {
 public:
  std::string_view name() const override { return "tunnel"; }
  bool is_one_way() const override { return true; }

  net::Status Check(const Service& service, const Backend& backend) const override {
    if (backend.endpoint.port != service.address.port)
      return net::Error{"a tunnel cannot change the port: backends have the service's"};
    const net::Family family = backend.endpoint.address.family();
    for (const net::Prefix& prefix : service.tunnel.source_prefixes)
      if (prefix.address.family() == family) return net::Ok{};
    if (service.local_addresses.of(family).empty())
      return net::Error{
          "a tunnel needs a local address or a source prefix of its backend's family"};
    return net::Ok{};
  }

  OpenOutcome Open(const PacketContext& context, const Service& service, const Backend& backend,
                   const Packet&, const ParsedPacket& parsed) const override {
    const net::FlowKey client_flow = parsed.key();
    const net::FlowKey outer =
        OuterFlow(service, backend, EntropyOf(context, client_flow), client_flow.protocol);
    const SessionId session = context.sessions.Insert(
        {client_flow, outer}, {client_flow.Reversed(), outer.Reversed()}, SessionKind::kOneWay);
    if (session == kNoSession) return net::Verdict::kSessionTableFull;
    FlowState& state = context.sessions.state(RefOf(session, Direction::kForward));
    state.flags |= kFlowResizes;
    state.outer_ttl = service.tunnel.ttl;
    return session;
  }

  void Rewrite(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
               ParsedPacket& parsed, Packet& packet) const override {
    if (parsed.tcp_flags & net::kTcpSyn) [[unlikely]]
      HoldSyn(context, flow, next_hop, parsed, packet);
    Wrap(context, flow, parsed, packet);
  }

  int AddedBytes(const PacketContext& context, FlowRef flow, const ParsedPacket&,
                 const Packet&) const override {
    return MostAddedBytes(context.sessions, flow);
  }

  int MostAddedBytes(const SessionTable& sessions, FlowRef flow) const override {
    if (DirectionOf(flow) == Direction::kReverse) return 0;
    if (!sessions.IsWide(flow))
      return EncapsulationBytes(net::Family::kIpv4,
                                IsGue(sessions.narrow(flow).new_destination_port));
    const WideFlow& record = sessions.wide(flow);
    const bool is_ipv4 = record.state.flags & kFlowRewriteIsIpv4;
    return EncapsulationBytes(is_ipv4 ? net::Family::kIpv4 : net::Family::kIpv6,
                              IsGue(record.new_destination_port));
  }

  void RewriteStateless(const PacketContext& context, const Service& service,
                        const Backend& backend, ParsedPacket& parsed,
                        Packet& packet) const override {
    // An error travels as the packets that it is about would.
    const net::FlowKey client_flow =
        parsed.packet_class == net::PacketClass::kFlow ? parsed.key() : parsed.key().Reversed();
    const uint64_t entropy = EntropyOf(context, client_flow);
    Wrap(context, OuterFlow(service, backend, entropy, client_flow.protocol), service.tunnel.ttl,
         FlowLabelOf(entropy), parsed, packet);
  }

  uint16_t StatelessAddedBytes(const Backend& backend) const override {
    return EncapsulationBytes(backend.endpoint.address.family(),
                              backend.encapsulation == Encapsulation::kGue);
  }

  // About a packet that the backend sent to the client: it gets the error whole.
  net::Verdict RewriteIcmpError(const PacketContext& context, FlowRef flow, const NextHop&,
                                ParsedPacket& parsed, Packet& packet) const override {
    Wrap(context, flow, parsed, packet);
    return net::Verdict::kForwarded;
  }

 private:
  void HoldSyn(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
               ParsedPacket& parsed, Packet& packet) const {
    const auto added_bytes = static_cast<uint16_t>(MostAddedBytes(context.sessions, flow));
    ApplyToTcpChecksum(ClampSyn(context, flow, next_hop, parsed, packet, added_bytes), parsed,
                       packet);
  }

  static void Wrap(const PacketContext& context, FlowRef flow, const ParsedPacket& parsed,
                   Packet& packet) {
    const SessionTable& sessions = context.sessions;
    const uint8_t ttl = sessions.state(flow).outer_ttl;
    if (sessions.IsWide(flow)) {
      const net::FlowKey outer = sessions.RewriteOf(flow);
      const uint32_t flow_label =
          outer.is_v4() ? 0 : FlowLabelOf(EntropyOf(context, sessions.KeyOf(flow)));
      return Wrap(context, outer, ttl, flow_label, parsed, packet);
    }
    const NarrowFlow& record = sessions.narrow(flow);
    Encapsulate(
        OuterHeaders<net::Ipv4Address>{.source = record.new_source,
                                       .destination = record.new_destination,
                                       .source_port = record.new_source_port,
                                       .destination_port = record.new_destination_port,
                                       .ttl = ttl,
                                       .identification = context.worker.ip_identification++},
        parsed, packet);
  }

  static void Wrap(const PacketContext& context, const net::FlowKey& outer, uint8_t ttl,
                   uint32_t flow_label, const ParsedPacket& parsed, Packet& packet) {
    const auto wrap = [&](const auto& source, const auto& destination) {
      Encapsulate(
          OuterHeaders<std::decay_t<decltype(source)>>{
              .source = source,
              .destination = destination,
              .source_port = outer.source.port,
              .destination_port = outer.destination.port,
              .ttl = ttl,
              .flow_label = flow_label,
              .identification = context.worker.ip_identification++},
          parsed, packet);
    };
    if (outer.is_v4())
      wrap(outer.source.address.v4(), outer.destination.address.v4());
    else
      wrap(outer.source.address.v6(), outer.destination.address.v6());
  }
};

}  // namespace

const ForwardingMode& Tunnel() {
  static const TunnelMode mode;
  return mode;
}

}  // namespace steelyard::core
