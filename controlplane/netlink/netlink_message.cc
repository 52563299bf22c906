// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/netlink_message.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/object.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

#include <cstring>
#include <new>

namespace steelyard::controlplane {
namespace {

constexpr int kUsableStates = NUD_REACHABLE | NUD_PERMANENT | NUD_STALE | NUD_DELAY | NUD_PROBE;

template <typename T, void (*put)(T*)>
struct Put {
  void operator()(T* object) const { put(object); }
};
using AddrPtr = std::unique_ptr<nl_addr, Put<nl_addr, nl_addr_put>>;
using RtnlAddrPtr = std::unique_ptr<rtnl_addr, Put<rtnl_addr, rtnl_addr_put>>;
using RtnlNeighPtr = std::unique_ptr<rtnl_neigh, Put<rtnl_neigh, rtnl_neigh_put>>;

std::optional<net::IpAddress> ToIpAddress(nl_addr* address) {
  if (address == nullptr) return std::nullopt;
  const auto* bytes = static_cast<const uint8_t*>(nl_addr_get_binary_addr(address));
  const unsigned length = nl_addr_get_len(address);
  if (nl_addr_get_family(address) == AF_INET && length == 4) {
    uint32_t raw;
    std::memcpy(&raw, bytes, 4);
    return net::IpAddress(net::Ipv4Address{net::Be32::FromRaw(raw)});
  }
  if (nl_addr_get_family(address) == AF_INET6 && length == 16) {
    net::Ipv6Address v6;
    std::memcpy(v6.bytes.data(), bytes, 16);
    return net::IpAddress(v6);
  }
  return std::nullopt;
}

net::MacAddress ToMacAddress(nl_addr* address) {
  net::MacAddress mac;
  if (address != nullptr && nl_addr_get_len(address) == mac.bytes.size())
    std::memcpy(mac.bytes.data(), nl_addr_get_binary_addr(address), mac.bytes.size());
  return mac;
}

AddrPtr FromIpAddress(const net::IpAddress& address) {
  AddrPtr built;
  if (address.is_v4()) {
    const uint32_t raw = address.v4().bits.raw();
    built.reset(nl_addr_build(AF_INET, &raw, 4));
  } else {
    built.reset(nl_addr_build(AF_INET6, address.v6().bytes.data(), 16));
  }
  if (!built) throw std::bad_alloc();
  return built;
}

std::optional<NetlinkEvent> ParseLink(rtnl_link* link) {
  // Bridges repeat their ports' links in their own family, where a removal means only the port's.
  if (rtnl_link_get_family(link) != AF_UNSPEC) return std::nullopt;
  KernelLink parsed;
  parsed.index = rtnl_link_get_ifindex(link);
  if (const char* name = rtnl_link_get_name(link)) parsed.name = name;
  parsed.up = (rtnl_link_get_flags(link) & IFF_UP) != 0;
  parsed.mac = ToMacAddress(rtnl_link_get_addr(link));
  return NetlinkEvent{false, parsed};
}

std::optional<NetlinkEvent> ParseAddress(rtnl_addr* address) {
  const auto local = ToIpAddress(rtnl_addr_get_local(address));
  if (!local) return std::nullopt;
  return NetlinkEvent{false, KernelAddress{rtnl_addr_get_ifindex(address), *local,
                                           rtnl_addr_get_prefixlen(address)}};
}

std::optional<net::Prefix> ToPrefix(rtnl_route* route) {
  nl_addr* destination = rtnl_route_get_dst(route);
  const bool is_v4 = rtnl_route_get_family(route) == AF_INET;
  const int length = destination ? static_cast<int>(nl_addr_get_prefixlen(destination)) : 0;
  if (length == 0)
    return net::Prefix{is_v4 ? net::IpAddress(net::Ipv4Address{}) : net::IpAddress(), 0};
  const auto address = ToIpAddress(destination);
  if (!address) return std::nullopt;
  return net::Prefix{*address, length};
}

void AddNextHop(rtnl_nexthop* hop, void* context) {
  if (rtnl_route_nh_get_flags(hop) & RTNH_F_DEAD) return;
  auto& route = *static_cast<KernelRoute*>(context);
  KernelNextHop parsed;
  parsed.interface_index = rtnl_route_nh_get_ifindex(hop);
  parsed.gateway = ToIpAddress(rtnl_route_nh_get_gateway(hop));
  // An IPv4 route through an IPv6 neighbour (RFC 5549).
  if (!parsed.gateway) parsed.gateway = ToIpAddress(rtnl_route_nh_get_via(hop));
  route.next_hops.push_back(parsed);
}

std::optional<NetlinkEvent> ParseRoute(rtnl_route* route) {
  if (rtnl_route_get_table(route) != RT_TABLE_MAIN) return std::nullopt;
  if (rtnl_route_get_type(route) != RTN_UNICAST || rtnl_route_get_tos(route) != 0)
    return std::nullopt;
  const int family = rtnl_route_get_family(route);
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  KernelRoute parsed;
  const auto prefix = ToPrefix(route);
  if (!prefix || (prefix->length > 0 && prefix->address.IsLinkLocal())) return std::nullopt;
  parsed.prefix = *prefix;
  parsed.metric = rtnl_route_get_priority(route);
  if (unsigned mtu = 0; rtnl_route_get_metric(route, RTAX_MTU, &mtu) == 0) parsed.mtu = mtu;
  rtnl_route_foreach_nexthop(route, AddNextHop, &parsed);
  return NetlinkEvent{false, parsed};
}

std::optional<NetlinkEvent> ParseNeighbour(rtnl_neigh* neighbour) {
  const auto address = ToIpAddress(rtnl_neigh_get_dst(neighbour));
  if (!address) return std::nullopt;
  const int state = rtnl_neigh_get_state(neighbour);
  if (state == NUD_NOARP) return std::nullopt;
  KernelNeighbour parsed;
  parsed.mac = ToMacAddress(rtnl_neigh_get_lladdr(neighbour));
  if ((state & kUsableStates) != 0 && !parsed.mac.IsZero())
    parsed.state = NeighbourState::kUsable;
  else if ((state & NUD_FAILED) != 0)
    parsed.state = NeighbourState::kFailed;
  parsed.is_permanent = (state & NUD_PERMANENT) != 0;
  return NetlinkEvent{false,
                      std::pair{NeighbourKey{rtnl_neigh_get_ifindex(neighbour), *address}, parsed}};
}

bool IsRemoval(int type) {
  return type == RTM_DELLINK || type == RTM_DELADDR || type == RTM_DELROUTE || type == RTM_DELNEIGH;
}

std::optional<NetlinkEvent> ParseObject(int type, nl_object* object) {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return ParseLink(reinterpret_cast<rtnl_link*>(object));
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return ParseAddress(reinterpret_cast<rtnl_addr*>(object));
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return ParseRoute(reinterpret_cast<rtnl_route*>(object));
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return ParseNeighbour(reinterpret_cast<rtnl_neigh*>(object));
    default:
      return std::nullopt;
  }
}

struct ParseContext {
  int type;
  std::optional<NetlinkEvent> event;
};

void OnParsed(nl_object* object, void* opaque) {
  auto& context = *static_cast<ParseContext*>(opaque);
  context.event = ParseObject(context.type, object);
}

template <typename Header>
NetlinkMessage DumpRequest(int type, const Header& header) {
  NetlinkMessage message(nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_DUMP));
  // Not nlmsg_append() with padding of its own: strict kernels refuse trailing bytes.
  if (!message || nlmsg_append(message.get(), const_cast<Header*>(&header), sizeof(header), 0) < 0)
    throw std::bad_alloc();
  return message;
}

RtnlAddrPtr ToRtnlAddr(int interface_index, const net::IpAddress& address) {
  RtnlAddrPtr built(rtnl_addr_alloc());
  if (!built) throw std::bad_alloc();
  rtnl_addr_set_ifindex(built.get(), interface_index);
  rtnl_addr_set_local(built.get(), FromIpAddress(address).get());
  rtnl_addr_set_prefixlen(built.get(), address.bit_length());
  return built;
}

}  // namespace

std::optional<NetlinkEvent> ParseNetlinkEvent(nlmsghdr* header) {
  const NetlinkMessage message(nlmsg_convert(header));
  if (!message) throw std::bad_alloc();
  nlmsg_set_proto(message.get(), NETLINK_ROUTE);
  ParseContext context{header->nlmsg_type, std::nullopt};
  if (nl_msg_parse(message.get(), OnParsed, &context) < 0) return std::nullopt;
  if (context.event) context.event->removed = IsRemoval(header->nlmsg_type);
  return std::move(context.event);
}

NetlinkMessage BuildDumpRequest(int type, int family) {
  const auto short_family = static_cast<unsigned char>(family);
  switch (type) {
    case RTM_GETLINK: {
      ifinfomsg header{};
      header.ifi_family = short_family;
      return DumpRequest(type, header);
    }
    case RTM_GETADDR: {
      ifaddrmsg header{};
      header.ifa_family = short_family;
      return DumpRequest(type, header);
    }
    case RTM_GETNEIGH: {
      ndmsg header{};
      header.ndm_family = short_family;
      return DumpRequest(type, header);
    }
    default: {
      rtmsg header{};
      header.rtm_family = short_family;
      header.rtm_table = RT_TABLE_MAIN;
      header.rtm_type = RTN_UNICAST;
      return DumpRequest(type, header);
    }
  }
}

NetlinkMessage BuildResolveRequest(const NeighbourKey& neighbour) {
  const RtnlNeighPtr built(rtnl_neigh_alloc());
  if (!built) throw std::bad_alloc();
  rtnl_neigh_set_ifindex(built.get(), neighbour.first);
  rtnl_neigh_set_dst(built.get(), FromIpAddress(neighbour.second).get());
  rtnl_neigh_set_state(built.get(), NUD_NONE);
  rtnl_neigh_set_flags(built.get(), NTF_USE);
  nl_msg* message = nullptr;
  if (rtnl_neigh_build_add_request(built.get(), NLM_F_CREATE, &message) < 0) throw std::bad_alloc();
  return NetlinkMessage(message);
}

NetlinkMessage BuildAddAddressRequest(int interface_index, const net::IpAddress& address) {
  const RtnlAddrPtr built = ToRtnlAddr(interface_index, address);
  if (!address.is_v4()) {
    rtnl_addr_set_flags(built.get(), IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
    rtnl_addr_set_valid_lifetime(built.get(), 0xffffffff);
    rtnl_addr_set_preferred_lifetime(built.get(), 0);
  }
  nl_msg* message = nullptr;
  if (rtnl_addr_build_add_request(built.get(), NLM_F_EXCL, &message) < 0) throw std::bad_alloc();
  return NetlinkMessage(message);
}

NetlinkMessage BuildRemoveAddressRequest(int interface_index, const net::IpAddress& address) {
  const RtnlAddrPtr built = ToRtnlAddr(interface_index, address);
  nl_msg* message = nullptr;
  if (rtnl_addr_build_delete_request(built.get(), 0, &message) < 0) throw std::bad_alloc();
  return NetlinkMessage(message);
}

}  // namespace steelyard::controlplane
