# SPDX-License-Identifier: Apache-2.0
"""A flow through the boxes, and what each side calls its two ends."""

import dataclasses

from . import plan
from .plan import INSIDE, OUTSIDE


@dataclasses.dataclass(frozen=True)
class Tuple:
    """What a packet says about where it comes from and goes to. ICMP echo: both ports the same."""

    source: str
    destination: str
    source_port: int
    destination_port: int


class Flow:
    """What all have in common.

    opener: the side that begins. lent_ports: box → the port (or echo identifier) that it lends to
    the opener, learnt from what arrives on the other side; None if it must keep the opener's own.
    Where lent_address appears, the lent port stands beside it.
    """

    opener, answerer = OUTSIDE, INSIDE
    lent_ports = None
    lent_address = None
    own_port = None

    def is_known_to(self, boxes):
        """Whether the answerer has heard of it through every box."""
        return self.lent_ports is None or all(box in self.lent_ports for box in boxes)

    def port_on(self, box):
        """The opener's port, as the answerer sees it."""
        return self.own_port if self.lent_ports is None else self.lent_ports.get(box)


class DnatFlow(Flow):
    """A client outside, at `outside`, speaks to a service; its backend is inside.

    contended: its client has another flow that looks the same to the backend.
    """

    def __init__(self, outside, port, service, contended=False):
        self.family, self.protocol = service.family, service.protocol
        self.outside = self.lent_address = outside
        self.own_port, self._service = port, service
        self.lent_ports = {} if contended else None
        self.answerer_end = (self.protocol, plan.BACKEND[self.family], service.backend_port)

    def seen_from(self, side, box=None):
        """The Tuple of what a host on this side sends; the backend's may depend on the box."""
        if side == OUTSIDE:
            return Tuple(self.outside, plan.VIP[self.family], self.own_port, self._service.port)
        return Tuple(plan.BACKEND[self.family], self.outside, self._service.backend_port,
                     self.port_on(box))


class SnatFlow(Flow):
    """A host inside speaks to one at `outside`; the box lends it a port."""

    opener, answerer = INSIDE, OUTSIDE

    def __init__(self, protocol, family, inside, inside_port, outside, outside_port):
        self.protocol, self.family = protocol, family
        self.outside = outside
        self.own_port = inside_port
        self.lent_address = plan.OUTSIDE_ADDRESS[family]
        self._inside, self._outside_port = inside, outside_port
        self.lent_ports = {}
        self.answerer_end = (protocol, outside, None if protocol == "icmp" else outside_port)

    def seen_from(self, side, box=None):
        """The Tuple of what a host on this side sends; outside it depends on the box."""
        if side == INSIDE:
            return Tuple(self._inside, self.outside, self.own_port, self._outside_port)
        port = self.port_on(box)
        far_port = port if self.protocol == "icmp" else self._outside_port
        return Tuple(self.outside, self.lent_address, far_port, port)


class BoxFlow(Flow):
    """A host outside speaks to the box itself."""

    def __init__(self, protocol, family, outside, port, address, address_port):
        self.protocol, self.family, self.outside = protocol, family, outside
        self._tuple = Tuple(outside, address, port, address_port)

    def seen_from(self, _side, _box=None):
        return self._tuple
