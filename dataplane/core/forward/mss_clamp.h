// SPDX-License-Identifier: Apache-2.0
//
// The largest segment that both sides of the box carry, and holding the ends of a TCP connection to
// it by the MSS option of their SYNs (RFC 9293 section 3.7.1).
#pragma once

#include <cstdint>

#include "core/forward/forwarding_mode.h"
#include "net/checksum.h"

namespace steelyard::core {

// Payload bytes of a segment that fits the links on both sides after `added_bytes` were added to
// it; packets come in as IP of one family and leave as IP of another, or the same.
uint16_t MaxSegmentBytes(const PacketContext& context, const NextHop& next_hop,
                         net::Family in_family, net::Family out_family, uint16_t added_bytes = 0);

// Clamps a SYN of a service that asks for it; returns the difference under the TCP checksum.
net::ChecksumDelta ClampSyn(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                            const net::ParsedPacket& parsed, net::Packet& packet,
                            uint16_t added_bytes = 0);

}  // namespace steelyard::core
