// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/forward/translate_family.h"
#include "core/pipeline.h"

namespace steelyard::core {

using net::HeaderAt;
using net::ParsedPacket;
using net::Verdict;

namespace {

bool ConcernsUs(const Snapshot& snapshot, const ParsedPacket& fragment) {
  const net::FlowKey addresses = fragment.key();
  const net::IpAddress& destination = addresses.destination.address;
  // Pings to the box are the kernel's, whole or not; answers to pings from inside are not.
  if (net::IsIcmp(addresses.protocol))
    return snapshot.outside_addresses->contains(destination) ||
           snapshot.FindOutboundGateway(addresses, false) != nullptr;
  return snapshot.own_addresses->contains(destination) ||
         snapshot.gateway_backends->contains(addresses.source.address) ||
         snapshot.FindOutboundGateway(addresses, false) != nullptr;
}

}  // namespace

Verdict Pipeline::FinishFragment(const PacketContext& context, Burst& burst, uint32_t i) {
  if (!ConcernsUs(context.snapshot, parsed_[i])) return Verdict::kPunted;
  if (worker_.reassembler == nullptr) return Verdict::kFragment;
  return worker_.reassembler->Add(burst.packet[i], parsed_[i], burst.steered[i], context.now_ns);
}

// Whatever becomes of them, they leave as copies.
void Pipeline::MarkReassembled(const Snapshot& snapshot, Burst& burst) const {
  for (uint32_t i = 0; i < burst.count; ++i)
    burst.LeaveInFragments(i, FragmentMtu(burst, i, snapshot.ports[burst.in_port].mtu));
}

// Routers fragment IPv4 where its sender lets them, and IPv6 never; but what its sender has
// fragmented may be fragmented again.
bool Pipeline::MayBeFragmented(const Burst& burst, uint32_t i, bool is_wrapped) const {
  if (burst.is_reassembled) return true;
  if (parsed_[i].family == net::Family::kIpv4)
    return !HeaderAt<net::Ipv4Header>(burst.packet[i], net::kL3Offset).dont_fragment();
  // No sender cuts what every IPv6 link carries; the packet around it is cut (RFC 2473 section 7.1,
  // RFC 4213 section 3.2.2).
  return is_wrapped && parsed_[i].l3_end - net::kL3Offset <= net::kLeastIpv6Mtu;
}

uint16_t Pipeline::FragmentMtu(const Burst& burst, uint32_t i, uint16_t mtu) const {
  if (!burst.is_reassembled || parsed_[i].family == net::Family::kIpv4) return mtu;
  // No router behind the box will fragment what an IPv6 sender made so small for the path.
  return std::min(mtu, std::max(burst.largest_fragment[i], net::kLeastIpv6Mtu));
}

// An IPv4 sender that lets routers fragment is not told of MTUs, and no IPv6 router will fragment
// for it: it gets what every link carries (RFC 7915 section 4). Fragments of an IPv6 sender do not
// get larger on the way.
uint16_t Pipeline::MtuInOtherFamily(const Burst& burst, uint32_t i, uint16_t mtu) const {
  if (parsed_[i].family == net::Family::kIpv4)
    return MayBeFragmented(burst, i, false) ? std::min(mtu, net::kLeastIpv6Mtu) : mtu;
  if (!burst.is_reassembled) return mtu;
  const int largest = std::max(burst.largest_fragment[i], net::kLeastIpv6Mtu) - kFamilyHeaderBytes;
  return static_cast<uint16_t>(std::min<int>(mtu, largest));
}

}  // namespace steelyard::core
