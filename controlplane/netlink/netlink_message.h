// SPDX-License-Identifier: Apache-2.0
//
// Between netlink messages (RFC 3549, rtnetlink(7)) and the values of kernel_network.h. No socket.
#pragma once

#include <linux/netlink.h>
#include <netlink/msg.h>

#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "controlplane/netlink/kernel_network.h"

namespace steelyard::controlplane {

struct NetlinkMessageDeleter {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using NetlinkMessage = std::unique_ptr<nl_msg, NetlinkMessageDeleter>;

struct NetlinkEvent {
  bool removed = false;
  std::variant<KernelLink, KernelAddress, KernelRoute, std::pair<NeighbourKey, KernelNeighbour>>
      subject;
};

// Nothing when the message is not about a subject that KernelNetwork holds. The header must have
// been checked to lie within its buffer.
std::optional<NetlinkEvent> ParseNetlinkEvent(nlmsghdr* header);

// Asks for everything of a kind: RTM_GETLINK, RTM_GETADDR, RTM_GETNEIGH, or RTM_GETROUTE with
// AF_INET or AF_INET6 (main table only).
NetlinkMessage BuildDumpRequest(int type, int family);

// Has the kernel behave as if it wanted to send to the neighbour: an unknown or failed one is asked
// for (ARP, RFC 826; neighbour solicitation, RFC 4861), a stale one is probed, a reachable one
// counts as used.
NetlinkMessage BuildResolveRequest(const NeighbourKey& neighbour);

// A VIP as an address of full length. IPv6: no duplicate address detection, deprecated (preferred
// lifetime 0, RFC 4862 section 5.5.4) so that the box never picks it as a source of its own, and
// without a prefix route.
NetlinkMessage BuildAddAddressRequest(int interface_index, const net::IpAddress& address);
NetlinkMessage BuildRemoveAddressRequest(int interface_index, const net::IpAddress& address);

}  // namespace steelyard::controlplane
