# SPDX-License-Identifier: Apache-2.0
"""Addresses and configuration of the picture in __init__.py, the same for every box."""

import dataclasses

from topology import services

OUTSIDE, INSIDE = "outside", "inside"
SIDES = (OUTSIDE, INSIDE)

BOX_MAC = {OUTSIDE: "02:00:00:00:01:01", INSIDE: "02:00:00:00:02:01"}
END_MAC = {OUTSIDE: "02:00:00:00:01:02", INSIDE: "02:00:00:00:02:02"}

# Of the box's ports: what fits outside may be too big inside.
MTU = {OUTSIDE: 1500, INSIDE: 1400}

BOX = {4: {OUTSIDE: "10.0.1.1", INSIDE: "10.0.2.1"},
       6: {OUTSIDE: "fd00:1::1", INSIDE: "fd00:2::1"}}
ROUTER = {4: {OUTSIDE: "10.0.1.2", INSIDE: "10.0.2.2"},
          6: {OUTSIDE: "fd00:1::2", INSIDE: "fd00:2::2"}}
VIP = {4: "10.0.1.10", 6: "fd00:1::10"}
OUTSIDE_ADDRESS = {4: "10.0.1.100", 6: "fd00:1::100"}
BACKEND = {4: "10.0.2.11", 6: "fd00:2::11"}
INSIDE_PREFIX = {4: "10.8.0.0/16", 6: "fd08::/64"}
REMOTE_PREFIX = {4: "198.18.0.0/15", 6: "2001:db8::/32"}
# Routers further away, which report errors, and the sender of marks.
FAR_ROUTER = {4: {OUTSIDE: "198.19.255.1", INSIDE: "10.8.255.1"},
              6: {OUTSIDE: "2001:db8:ffff::1", INSIDE: "fd08::ffff:1"}}
MARKER = {OUTSIDE: "198.19.255.254"}
MARK_PORT = 9

BOX_ADDRESSES = {
    OUTSIDE: ("10.0.1.1/24", "fd00:1::1/64"),
    INSIDE: ("10.0.2.1/24", "fd00:2::1/64"),
}
OUTSIDE_ADDRESSES = ("10.0.1.100/32", "fd00:1::100/128")
VIP_ADDRESSES = ("10.0.1.10/32", "fd00:1::10/128")
NEIGHBOURS = {OUTSIDE: (ROUTER[4][OUTSIDE], ROUTER[6][OUTSIDE]),
              INSIDE: (ROUTER[4][INSIDE], ROUTER[6][INSIDE], BACKEND[4], BACKEND[6])}
ROUTES = {OUTSIDE: [(REMOTE_PREFIX[family], ROUTER[family][OUTSIDE]) for family in (4, 6)],
          INSIDE: [(INSIDE_PREFIX[family], ROUTER[family][INSIDE]) for family in (4, 6)]}


@dataclasses.dataclass(frozen=True)
class Service:
    """A service in front of the one backend."""

    family: int
    protocol: str
    port: int
    backend_port: int

    @property
    def name(self):
        return f"{self.protocol}{self.port}-{self.family}"


SERVICES = tuple(
    Service(family, protocol, port, backend_port)
    for family in (4, 6)
    for protocol, port, backend_port in (("tcp", 80, 8080), ("tcp", 443, 443), ("tcp", 8443, 443),
                                         ("udp", 53, 5353), ("udp", 123, 123), ("udp", 5300, 5353),
                                         ("udp", MARK_PORT, MARK_PORT)))
PUBLIC_PORTS = {"tcp": (80, 443, 8443), "udp": (53, 123, 5300)}
# Pairs of services that lead to the same port of the backend.
CONTENDED_PORTS = {"tcp": (443, 8443), "udp": (53, 5300)}
UNSERVED_PORT = 4242


def declared_state():
    """The same for our box. Nothing ends by itself while a run lasts."""
    return services.state(*(
        services.service(service.name, VIP[service.family], [BACKEND[service.family]],
                         port=service.port, backend_port=service.backend_port,
                         protocol=service.protocol, mode="dnat", timeouts=_TIMEOUTS)
        for service in SERVICES), local_addresses=(), gateways=[
            services.gateway(f"outbound-{family}", [INSIDE_PREFIX[family]],
                             [OUTSIDE_ADDRESS[family]],
                             timeouts=_TIMEOUTS.replace("}", ", icmp: 1h}"))
            for family in (4, 6)])


_TIMEOUTS = ("{tcp_syn_sent: 1h, tcp_syn_received: 1h, tcp_established: 1h, tcp_closing: 1h, "
             "tcp_time_wait: 1h, tcp_closed: 1h, udp: 1h}")
