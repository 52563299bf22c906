# SPDX-License-Identifier: Apache-2.0
"""The forwarding modes of services, in every family and encapsulation.

A test that holds for several of them takes the parameter `mode` from one of the marks below.
"""

import dataclasses
import json

import pytest
from topology import network, services
from topology.backend import GUE_PORT

IP_BYTES = {4: 20, 6: 40}
TOA_BYTES = {4: 8, 6: 20}
GUE_BYTES = 8 + 4  # UDP and a header without options
IPV6_LEAST_MTU = 1280


@dataclasses.dataclass(frozen=True)
class Mode:
    """family is the client's, backend_family that of the backends' addresses and outer headers."""

    name: str
    family: int
    backend_family: int
    encapsulation: str = ""

    def __str__(self):
        if self.family != self.backend_family and self.name != "tunnel":
            return f"{self.name}-{self.family}to{self.backend_family}"
        if self.name != "tunnel":
            return f"{self.name}-ipv{self.family}"
        return f"tunnel-{self.encapsulation}-{self.family}in{self.backend_family}"

    @property
    def answers_pass_by(self):
        """Whether backends answer the client directly."""
        return self.name in ("direct", "tunnel")

    @property
    def shows_client(self):
        """Whether backends see the client's address without any help."""
        return self.name != "full_nat"

    @property
    def vip(self):
        return network.VIP_IPV4 if self.family == 4 else network.VIP_IPV6

    @property
    def client_address(self):
        return network.CLIENT_IPV4 if self.family == 4 else network.CLIENT_IPV6

    @property
    def remote_address(self):
        return network.REMOTE_IPV4 if self.family == 4 else network.REMOTE_IPV6

    @property
    def overhead(self):
        """Bytes that the box adds to a packet to the backend."""
        if self.name == "full_nat":
            return (TOA_BYTES[self.family]
                    + IP_BYTES[self.backend_family] - IP_BYTES[self.family])
        if self.name != "tunnel":
            return 0
        return (IP_BYTES[self.backend_family]
                + (GUE_BYTES if self.encapsulation == "gue" else 0))

    def mtu_within(self, link_mtu):
        """What the client may send at most where the packet then crosses such a link."""
        least = IPV6_LEAST_MTU if self.family == 6 else 0
        return max(link_mtu - self.overhead, least)

    def address_of(self, backend):
        return backend.ipv4 if self.backend_family == 4 else backend.ipv6

    def service(self, name, backends, **settings):
        """tunnel: further settings of the tunnel, as a dictionary."""
        if self.name == "tunnel":
            own = {"encapsulation": self.encapsulation}
            if self.encapsulation == "gue":
                own["gue_port"] = GUE_PORT
            settings["tunnel"] = json.dumps(own | settings.get("tunnel", {}))
        return services.service(name, self.vip, [self.address_of(b) for b in backends],
                                mode=self.name, **settings)

    def apply(self, topology, backends=None, **settings):
        """Service web on port 80 with all near backends, unless told otherwise."""
        topology.prepare_for(self.name)
        topology.box.apply(services.state(
            self.service("web", backends or topology.backends, **settings)))


NAT64_NAT46 = [Mode("full_nat", 6, 4), Mode("full_nat", 4, 6)]
FULL_NAT = [Mode("full_nat", family, family) for family in (4, 6)] + NAT64_NAT46
DNAT = [Mode("dnat", family, family) for family in (4, 6)]
DIRECT = [Mode("direct", family, family) for family in (4, 6)]
TUNNEL = [Mode("tunnel", inner, outer, encapsulation)
          for encapsulation in ("ipip", "gue") for inner in (4, 6) for outer in (4, 6)]


def each_of(*modes):
    return pytest.mark.parametrize("mode", modes, ids=str)


EVERY_MODE = each_of(*FULL_NAT, *DNAT, *DIRECT, *TUNNEL)
TRANSPARENT_MODES = each_of(*DNAT, *DIRECT, *TUNNEL)
# One of each, both families among them, where more would show nothing new.
A_FEW_MODES = each_of(DNAT[0], DIRECT[1], TUNNEL[2])
