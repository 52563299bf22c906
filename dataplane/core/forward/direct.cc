// SPDX-License-Identifier: Apache-2.0
//
// Direct routing: only the destination MAC address changes. The backend has the VIP on its
// loopback, is on a network that the box is connected to, and answers the client directly.
#include "core/forward/forwarding_mode.h"
#include "core/forward/mss_clamp.h"
#include "core/forward/tcp_adjust.h"

namespace steelyard::core {
namespace {

using net::Packet;
using net::ParsedPacket;

class DirectMode : public ForwardingMode {
 public:
  std::string_view name() const override { return "direct"; }
  bool is_one_way() const override { return true; }
  bool keeps_ttl() const override { return true; }

  net::Status Check(const Service& service, const Backend& backend) const override {
    if (backend.endpoint.address.family() != service.address.address.family())
      return net::Error{"direct routing needs backends of the service's address family"};
    if (backend.endpoint.port != service.address.port)
      return net::Error{"direct routing cannot change the port: backends have the service's"};
    return net::Ok{};
  }

  OpenOutcome Open(const PacketContext& context, const Service&, const Backend& backend,
                   const Packet&, const ParsedPacket& parsed) const override {
    const net::FlowKey client_flow = parsed.key();
    // The rewrite names the backend; nothing of it is written into packets.
    const net::FlowKey backend_flow(client_flow.source, backend.endpoint, client_flow.protocol);
    const SessionId session = context.sessions.Insert(
        {client_flow, backend_flow}, {client_flow.Reversed(), client_flow.Reversed()},
        SessionKind::kOneWay);
    if (session == kNoSession) return net::Verdict::kSessionTableFull;
    return session;
  }

  void Rewrite(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
               ParsedPacket& parsed, Packet& packet) const override {
    ApplyToTcpChecksum(ClampSyn(context, flow, next_hop, parsed, packet), parsed, packet);
  }

  net::Verdict RewriteIcmpError(const PacketContext&, FlowRef, const NextHop&, ParsedPacket&,
                                Packet&) const override {
    return net::Verdict::kForwarded;
  }
};

}  // namespace

const ForwardingMode& Direct() {
  static const DirectMode mode;
  return mode;
}

}  // namespace steelyard::core
