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


class DnatFlow:
    """A client outside, at `outside`, speaks to a service; its backend is inside."""

    opener, answerer = OUTSIDE, INSIDE
    translated_port = None

    def __init__(self, outside, port, service):
        self.family, self.protocol = service.family, service.protocol
        self.outside, self._port, self._service = outside, port, service

    def seen_from(self, side, _box=None):
        """The Tuple of what a host on this side sends."""
        if side == OUTSIDE:
            return Tuple(self.outside, plan.VIP[self.family], self._port, self._service.port)
        return Tuple(plan.BACKEND[self.family], self.outside, self._service.backend_port,
                     self._port)

    def is_known_to(self, _boxes):
        return True


class SnatFlow:
    """A host inside speaks to one at `outside`; the box lends it a port.

    translated_port: box → the port that packets outside carry, learnt from what arrives there.
    """

    opener, answerer = INSIDE, OUTSIDE

    def __init__(self, protocol, family, inside, inside_port, outside, outside_port):
        self.protocol, self.family = protocol, family
        self.outside = outside
        self.inside_port = inside_port
        self._inside, self._outside_port = inside, outside_port
        self.translated_port = {}

    def seen_from(self, side, box=None):
        """The Tuple of what a host on this side sends; outside it depends on the box."""
        if side == INSIDE:
            return Tuple(self._inside, self.outside, self.inside_port, self._outside_port)
        port = self.translated_port[box]
        far_port = port if self.protocol == "icmp" else self._outside_port
        return Tuple(self.outside, plan.OUTSIDE_ADDRESS[self.family], far_port, port)

    def meets(self, other):
        """Whether the two need different ports to be told apart outside."""
        mine, its = ((flow.protocol, flow.outside, flow._outside_port) for flow in (self, other))
        return mine == its or self.protocol == other.protocol == "icmp"

    def is_known_to(self, boxes):
        """Whether every box has shown the port that it lends."""
        return all(box in self.translated_port for box in boxes)


class BoxFlow:
    """A host outside speaks to the box itself."""

    opener, answerer = OUTSIDE, None
    translated_port = None

    def __init__(self, protocol, family, outside, port, address, address_port):
        self.protocol, self.family, self.outside = protocol, family, outside
        self._tuple = Tuple(outside, address, port, address_port)

    def seen_from(self, _side, _box=None):
        return self._tuple

    def is_known_to(self, _boxes):
        return True
