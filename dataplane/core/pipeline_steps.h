// SPDX-License-Identifier: Apache-2.0
//
// What several ways through the pipeline have in common, whatever the mode.
#pragma once

#include <algorithm>

#include "core/forward/translate.h"
#include "core/network.h"
#include "core/service.h"
#include "core/token_bucket.h"
#include "net/checksum.h"
#include "net/parser.h"
#include "net/wire.h"

namespace steelyard::core {

inline bool TtlRunsOut(const net::ParsedPacket& parsed, const net::Packet& packet) {
  return (parsed.family == net::Family::kIpv6
              ? net::HeaderAt<net::Ipv6Header>(packet, net::kL3Offset).hop_limit
              : net::HeaderAt<net::Ipv4Header>(packet, net::kL3Offset).ttl) <= 1;
}

// False when it runs out. The link layer is the last thing written.
inline bool DecrementTtl(const net::ParsedPacket& parsed, net::Packet& packet) {
  if (TtlRunsOut(parsed, packet)) return false;
  if (parsed.family == net::Family::kIpv6) {
    --net::HeaderAt<net::Ipv6Header>(packet, net::kL3Offset).hop_limit;
    return true;
  }
  auto& ip = net::HeaderAt<net::Ipv4Header>(packet, net::kL3Offset);
  --ip.ttl;
  ip.checksum = kOneHopLess.ApplyTo(ip.checksum);
  return true;
}

// Whether one more session may be opened now, by the service's rate. `bucket` is the service's.
inline bool TakeNewSessionToken(const Service& service, uint64_t& bucket, uint64_t now_ns) {
  if (service.new_session_interval_ns == 0) return true;
  constexpr uint64_t kBurstNs = 100'000'000;  // of new sessions at the full rate
  return TokenBucket::TakeFrom(bucket, service.new_session_interval_ns,
                               std::max(kBurstNs, service.new_session_interval_ns), now_ns);
}

inline void SetLinkLayer(const NextHop& next_hop, const net::Packet& packet) {
  constexpr size_t kAt = offsetof(NextHop, destination);
  static_assert(offsetof(NextHop, source) == kAt + sizeof(net::MacAddress) &&
                offsetof(net::EthernetHeader, source) == sizeof(net::MacAddress));
  std::memcpy(packet.data, reinterpret_cast<const char*>(&next_hop) + kAt,
              2 * sizeof(net::MacAddress));
}

// Ethernet padding of short frames does not travel on.
inline void TrimPadding(const net::ParsedPacket& parsed, net::Packet& packet) {
  packet.length = parsed.l3_end;
}

}  // namespace steelyard::core
