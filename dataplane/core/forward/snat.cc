// SPDX-License-Identifier: Apache-2.0
//
// SNAT, the mode of outbound gateways: inside I→X becomes L→X, X→L becomes X→I. TCP, UDP and ICMP
// echo (RFC 5382, RFC 4787, RFC 5508). Towards different receivers one outside port serves as many
// flows. A flow to an outside endpoint that is another inside host's mapping turns round in the
// box: both hosts see each other's outside endpoint (hairpinning, RFC 4787 section 6).
#include <optional>

#include "core/endpoint_mapping.h"
#include "core/forward/forwarding_mode.h"
#include "core/forward/local_port.h"
#include "core/forward/translate.h"
#include "core/session_template.h"

namespace steelyard::core {
namespace {

using net::Packet;
using net::ParsedPacket;

class SnatMode : public ForwardingMode {
 public:
  std::string_view name() const override { return "snat"; }

  net::Status Check(const Service& service, const Backend&) const override {
    if (service.local_addresses.v4.empty() && service.local_addresses.v6.empty())
      return net::Error{"an outbound gateway needs an outside address"};
    return net::Ok{};
  }

  OpenOutcome Open(const PacketContext& context, const Service& gateway, const Backend&,
                   const Packet&, const ParsedPacket& parsed) const override {
    SessionTable& sessions = context.sessions;
    const net::FlowKey key = parsed.key();
    const net::Endpoint receiver = ReceiverOf(sessions, key);
    const Borrowed borrowed = Borrow(context, gateway, key, receiver);
    if (!borrowed.outside) return borrowed.refusal;
    const net::FlowKey out(*borrowed.outside, receiver, key.protocol);
    const SessionId session = sessions.Insert({key, out}, {out.Reversed(), key.Reversed()});
    if (session == kNoSession) return net::Verdict::kSessionTableFull;
    if (borrowed.mapping != kNoSession) AttachToTemplate(sessions, session, borrowed.mapping);
    return session;
  }

  void Rewrite(const PacketContext& context, FlowRef flow, const NextHop&, ParsedPacket& parsed,
               Packet& packet) const override {
    TranslatePacket(context.sessions, flow, parsed, packet, {});
  }

 private:
  static net::Endpoint ReceiverOf(const SessionTable& sessions, const net::FlowKey& key) {
    if (key.protocol != net::L4Protocol::kUdp) return key.destination;
    const SessionId target = FindMappingOfOutside(sessions, key.destination);
    return target == kNoSession ? key.destination : InsideOf(sessions, target);
  }

  struct Borrowed {
    std::optional<net::Endpoint> outside;  // none: `refusal` says why
    SessionId mapping = kNoSession;        // that it is of
    net::Verdict refusal = net::Verdict::kLocalPortsExhausted;
  };

  static Borrowed Borrow(const PacketContext& context, const Service& gateway,
                         const net::FlowKey& key, const net::Endpoint& receiver) {
    if (key.protocol == net::L4Protocol::kUdp && gateway.endpoint_independent_udp)
      return BorrowByMapping(context, gateway, key, receiver);
    return {ChooseLocalEndpoint(
        context, gateway,
        {.local_addresses = gateway.local_addresses.of(key.source.address.family()),
         .remote = receiver,
         .protocol = key.protocol,
         .paired_with = key.source.address})};
  }

  static Borrowed BorrowByMapping(const PacketContext& context, const Service& gateway,
                                  const net::FlowKey& key, const net::Endpoint& receiver) {
    Borrowed borrowed;
    borrowed.mapping = FindOrOpenMapping(context, gateway, key.source, borrowed.refusal);
    if (borrowed.mapping == kNoSession) return borrowed;
    const net::Endpoint outside = OutsideOf(context.sessions, borrowed.mapping);
    // A session from before the gateway had mappings may still have the port.
    if (context.sessions.Find(net::FlowKey(receiver, outside, key.protocol)) == kNoFlow)
      borrowed.outside = outside;
    else
      borrowed.refusal = net::Verdict::kLocalPortsExhausted;
    return borrowed;
  }
};

}  // namespace

const ForwardingMode& Snat() {
  static const SnatMode mode;
  return mode;
}

}  // namespace steelyard::core
