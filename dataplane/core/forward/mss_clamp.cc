// SPDX-License-Identifier: Apache-2.0
#include "core/forward/mss_clamp.h"

#include <algorithm>

#include "core/forward/tcp_adjust.h"

namespace steelyard::core {

uint16_t MaxSegmentBytes(const PacketContext& context, const NextHop& next_hop,
                         net::Family in_family, net::Family out_family, uint16_t added_bytes) {
  const auto ip_payload = [](uint16_t mtu, net::Family family) {
    return mtu - (family == net::Family::kIpv4 ? sizeof(net::Ipv4Header) : sizeof(net::Ipv6Header));
  };
  const size_t bytes = std::min(ip_payload(context.snapshot.ports[context.in_port].mtu, in_family),
                                ip_payload(next_hop.mtu, out_family));
  return static_cast<uint16_t>(bytes - sizeof(net::TcpHeader) - added_bytes);
}

net::ChecksumDelta ClampSyn(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                            const net::ParsedPacket& parsed, net::Packet& packet,
                            uint16_t added_bytes) {
  if (parsed.protocol() != net::L4Protocol::kTcp || (parsed.tcp_flags & net::kTcpSyn) == 0)
    return {};
  const Service* service =
      context.snapshot.service(context.sessions.record(SessionOf(flow)).service_slot);
  if (service == nullptr || !service->clamp_mss) return {};
  return ClampMss(MaxSegmentBytes(context, next_hop, parsed.family, parsed.family, added_bytes),
                  parsed, packet);
}

}  // namespace steelyard::core
