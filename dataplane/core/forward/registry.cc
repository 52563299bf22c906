// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "core/forward/forwarding_mode.h"
#include "core/icmp_error.h"

namespace steelyard::core {

std::span<const ForwardingMode* const> ForwardingModes() {
  static const std::array kModes = {&FullNat(), &Dnat(), &Direct(), &Tunnel(), &Snat()};
  return kModes;
}

const ForwardingMode* FindForwardingMode(std::string_view name) {
  for (const ForwardingMode* mode : ForwardingModes())
    if (mode->name() == name) return mode;
  return nullptr;
}

uint8_t ForwardingMode::index() const {
  uint8_t index = 0;
  while (ForwardingModes()[index] != this) ++index;
  return index;
}

// --- what modes do unless they say otherwise ---------------------------------------------------

int ForwardingMode::AddedBytes(const PacketContext&, FlowRef, const net::ParsedPacket&,
                               const net::Packet&) const {
  return 0;
}

int ForwardingMode::MostAddedBytes(const SessionTable&, FlowRef) const {
  return 0;
}

net::Verdict ForwardingMode::RewriteIcmpError(const PacketContext& context, FlowRef flow,
                                              const NextHop&, net::ParsedPacket& parsed,
                                              net::Packet& packet) const {
  TranslateIcmpError(context.sessions, flow, MostAddedBytes(context.sessions, OtherDirection(flow)),
                     parsed, packet);
  return net::Verdict::kForwarded;
}

void ForwardingMode::RewriteStateless(const PacketContext&, const Service&, const Backend&,
                                      net::ParsedPacket&, net::Packet&) const {}

uint16_t ForwardingMode::StatelessAddedBytes(const Backend&) const {
  return 0;
}

net::IpAddress ForwardingMode::Receiver(const SessionTable& sessions, FlowRef flow) const {
  return sessions.RewriteOf(flow).destination.address;
}

}  // namespace steelyard::core
