// SPDX-License-Identifier: Apache-2.0
//
// DNAT: C→V becomes C→R, R→C becomes V→C. The backend sees the client itself and answers through
// the box, which is its gateway.
//
// Two VIPs may lead the same client port to the same backend port, and the backend's answers would
// then tell no session from the other. The later one borrows another port of the client's address,
// as the kernel's NAT does.
#include "core/forward/forwarding_mode.h"
#include "core/forward/local_port.h"
#include "core/forward/mss_clamp.h"
#include "core/forward/translate.h"

namespace steelyard::core {
namespace {

using net::Packet;
using net::ParsedPacket;

class DnatMode : public ForwardingMode {
 public:
  std::string_view name() const override { return "dnat"; }
  bool is_gateway() const override { return true; }

  net::Status Check(const Service& service, const Backend& backend) const override {
    if (backend.endpoint.address.family() != service.address.address.family())
      return net::Error{"DNAT needs backends of the service's address family"};
    return net::Ok{};
  }

  OpenOutcome Open(const PacketContext& context, const Service& service, const Backend& backend,
                   const Packet&, const ParsedPacket& parsed) const override {
    const net::FlowKey client_flow = parsed.key();
    net::FlowKey backend_flow(client_flow.source, backend.endpoint, service.protocol);
    if (context.sessions.Find(backend_flow.Reversed()) != kNoFlow) {
      const auto source = ChooseLocalEndpoint(context, service,
                                              {.local_addresses = {&client_flow.source.address, 1},
                                               .remote = backend.endpoint,
                                               .protocol = service.protocol,
                                               .paired_with = {},
                                               .steered_as_flow_to = service.address});
      if (!source) return net::Verdict::kLocalPortsExhausted;
      backend_flow.source = *source;
    }
    const SessionId session = context.sessions.Insert(
        {client_flow, backend_flow}, {backend_flow.Reversed(), client_flow.Reversed()});
    if (session == kNoSession) return net::Verdict::kSessionTableFull;
    return session;
  }

  void Rewrite(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
               ParsedPacket& parsed, Packet& packet) const override {
    TranslatePacket(context.sessions, flow, parsed, packet,
                    ClampSyn(context, flow, next_hop, parsed, packet));
  }
};

}  // namespace

const ForwardingMode& Dnat() {
  static const DnatMode mode;
  return mode;
}

}  // namespace steelyard::core
