# SPDX-License-Identifier: Apache-2.0
"""Of what conversations are made: a Step, and what a conversation has at hand between two."""

import dataclasses
import random

from . import plan
from .flow import DnatFlow, SnatFlow
from .frames import Fragments, IpStyle
from .icmp_errors import random_error, unusual_error
from .plan import INSIDE, OUTSIDE

SEQUENCE_SPACE = 1 << 32


@dataclasses.dataclass
class Step:
    """Packets that are sent together. tags: what is unusual about them, for the table of expected
    differences. opens: the box may lend a new port for this flow."""

    flow: object
    packets: list
    tags: frozenset = frozenset()
    opens: bool = False


class Dialogue:
    """What a conversation has at hand. passed: of its steps so far, every packet that both boxes
    passed on alike, as (side where it arrived, flow, {box: frame})."""

    def __init__(self, rng, mode, family, outside, boxes):
        self.rng = rng
        self.mode = mode
        self.family = family
        self.outside = outside
        self.boxes = boxes
        self.flows = []
        self.passed = []

    def flow(self, protocol, inside_number=0, ports=None):
        self.flows.append(self._make_flow(protocol, inside_number, ports))
        return self.flows[-1]

    def contended_flows(self, protocol):
        """Flows that look the same to who answers them, until the box lends other ports to some."""
        ports = (self.rng.randint(1024, 65535), self.rng.randint(1, 65535))
        if self.mode == "snat":
            return [self.flow(protocol, number, ports) for number in range(3)]
        first, second = (self._service(protocol, (port,))
                         for port in plan.CONTENDED_PORTS[protocol])
        flows = [DnatFlow(self.outside, ports[0], first),
                 DnatFlow(self.outside, ports[0], second, contended=True)]
        self.flows += flows
        return flows

    def forget(self, flow):
        """Its packets so far carry a port that is no longer its."""
        self.passed = [passed for passed in self.passed if passed[1] is not flow]

    def _make_flow(self, protocol, inside_number, ports):
        rng = self.rng
        opener_port, answerer_port = ports or (rng.randint(1024, 65535), rng.randint(1, 65535))
        if self.mode == "dnat":
            return DnatFlow(self.outside, opener_port,
                            self._service(protocol, plan.PUBLIC_PORTS[protocol]))
        if protocol == "icmp":
            answerer_port = opener_port
        return SnatFlow(protocol, self.family, inside_host(self.family, inside_number), opener_port,
                        self.outside, answerer_port)

    def style(self, **settings):
        return dataclasses.replace(IpStyle.random(self.rng), **settings)

    def _service(self, protocol, ports):
        return self.rng.choice([service for service in plan.SERVICES
                                if service.family == self.family and service.protocol == protocol
                                and service.port in ports])

    def can_speak(self, flow, side):
        """Outside, SNAT's hosts know whom to answer once they heard of it."""
        return side == flow.opener or flow.is_known_to(self.boxes)

    def maybe_error(self, flow):
        """With some luck the step of an ICMP error about an earlier packet of this flow."""
        about = [passed for passed in self.passed if passed[1] is flow]
        if not about or self.rng.random() < 0.6:
            return []
        side, _, frames = self.rng.choice(about)
        make = unusual_error if self.rng.random() < 0.15 else random_error
        error, tags = make(self.rng, flow, side, frames)
        if flow.lent_ports is not None:
            tags |= {"lent_port"}
        return [Step(flow, [error], frozenset({"icmp_error"} | tags))]


def inside_host(family, number):
    return f"10.8.0.{number + 1}" if family == 4 else f"fd08::{number + 1:x}"


def other(side):
    return INSIDE if side == OUTSIDE else OUTSIDE


def payload_room(family, side):
    """What fits into a UDP datagram on that side."""
    return plan.MTU[side] - (20 if family == 4 else 40) - 8


def in_fragments(rng, packet):
    """Sent in order, reversed, shuffled, or with a piece twice."""
    largest = plan.MTU[packet.side] - 72
    return Fragments(packet, rng.choice((256, 512, 1000, largest)), rng.randrange(SEQUENCE_SPACE),
                     rng.choice((list, _reversed, _shuffled(rng.random()), _with_first_twice)))


def _reversed(pieces):
    return pieces[::-1]


def _shuffled(seed):
    return lambda pieces: random.Random(seed).sample(pieces, len(pieces))


def _with_first_twice(pieces):
    return pieces[:1] + pieces
