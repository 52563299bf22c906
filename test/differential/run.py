# SPDX-License-Identifier: Apache-2.0
"""Many conversations side by side through two boxes, and the comparison of what arrives."""

import collections
import ipaddress
import random

from . import plan
from .canonical import (addresses_of, lent_port, read_ip, reassembled, without_lent_port,
                        without_own_identification)
from .comparison import compare
from .conversations import CONVERSATIONS
from .dialogue import Dialogue
from .plan import SIDES

CONCURRENT = 64


class Unattributed(AssertionError):
    """A box let something out that belongs to no conversation."""


class Run:
    """Two Benches and what one seed does on them.

    differences: all that were found. passed: the steps whose packets both let through alike.
    """

    def __init__(self, benches, mode, family, seed, count):
        self._benches = benches
        self.names = tuple(bench.name for bench in benches)
        self._mode, self._family = mode, family
        self._rng = random.Random(f"{seed} {mode} {family}")
        self._count = count
        self._talking = {}  # outside address → (Dialogue, generator)
        self.differences = []
        self.steps = 0
        self.passed = 0

    def run(self):
        waiting = self._conversations()
        while True:
            while len(self._talking) < CONCURRENT and waiting:
                dialogue, generator = waiting.pop()
                self._talking[dialogue.outside] = (dialogue, generator)
            steps = self._next_steps()
            if not steps and not waiting:
                return self
            self._take(steps)

    def _conversations(self):
        """Every kind in its proportion, in random order."""
        kinds = CONVERSATIONS[self._mode]
        in_proportion = [kind for kind, weight in kinds.items() for _ in range(weight)]
        result = []
        for number in range(self._count):
            kind = in_proportion[number % len(in_proportion)]
            dialogue = Dialogue(random.Random(self._rng.random()), self._mode, self._family,
                                outside_host(self._family, number), self.names)
            result.append((dialogue, kind(dialogue)))
        self._rng.shuffle(result)
        return result

    def _next_steps(self):
        steps = {}
        for outside, (_, generator) in list(self._talking.items()):
            step = next(generator, None)
            if step is None:
                del self._talking[outside]
            else:
                steps[outside] = step
        self.steps += len(steps)
        return steps

    def _take(self, steps):
        """One step of every conversation through both boxes."""
        arrivals = {}
        for bench in self._benches:
            batch = [(packet.side, frame) for step in steps.values()
                     for packet in step.packets for frame in packet.frames(bench.name)]
            arrivals[bench.name] = self._by_conversation(bench.name, steps, bench.exchange(batch))
        for outside, step in steps.items():
            self._judge(outside, step, {name: arrivals[name][outside] for name in self.names})

    def _by_conversation(self, name, steps, arrivals):
        sorted_out = collections.defaultdict(list)
        for side, frame in arrivals:
            outside = next((address for address in addresses_of(frame) if address in steps), None)
            outside = outside or _forger(steps, frame)
            if outside is None:
                raise Unattributed(f"{name} at {side}: {frame.hex()}")
            sorted_out[outside].append((side, frame))
        return sorted_out

    def _judge(self, outside, step, arrivals):
        dialogue, _ = self._talking[outside]
        for name in self.names:
            self._learn_port(dialogue, step, name, arrivals[name])
        canonical = {name: self._canonical(step, name, arrivals[name]) for name in self.names}
        found = compare(step, *canonical.values())
        self.differences += found
        self.passed += bool(not found and arrivals[self.names[0]])
        self._remember(dialogue, step, canonical, arrivals)

    @staticmethod
    def _canonical(step, name, arrivals):
        senders = {packet.side for packet in step.packets}
        result = []
        for side in SIDES:
            frames = reassembled([frame for at, frame in arrivals if at == side])
            if side in senders:
                frames = [without_own_identification(frame) for frame in frames]
            result += [(side, without_lent_port(frame, step.flow, name)) for frame in frames]
        return result

    @staticmethod
    def _learn_port(dialogue, step, name, arrivals):
        """The port that the box lends, from the first packet that has it; one port for one flow."""
        flow = step.flow
        if flow.lent_ports is None or not (step.opens or name not in flow.lent_ports):
            return
        for port in [lent_port(frame, flow) for side, frame in arrivals if side == flow.answerer]:
            if port is None or port == flow.lent_ports.get(name):
                continue
            assert not any(other is not flow and other.answerer_end == flow.answerer_end
                           and other.port_on(name) == port for other in dialogue.flows), (
                f"{name} lends port {port} twice towards {flow.answerer_end}")
            flow.lent_ports[name] = port
            dialogue.forget(flow)

    def _remember(self, dialogue, step, canonical, arrivals):
        """What arrived alike and whole may be quoted by errors later."""
        if any(len(arrivals[name]) != 1 for name in self.names):
            return
        if len(set(map(tuple, canonical.values()))) != 1:
            return
        side = arrivals[self.names[0]][0][0]
        frames = {name: arrivals[name][0][1] for name in self.names}
        if all(_is_quotable(frame, step.flow) for frame in frames.values()):
            dialogue.passed.append((side, step.flow, frames))


def _is_quotable(frame, flow):
    """Nobody reports errors about errors (RFC 1122 section 3.2.2), and a quoted fragment header
    would tell how a box has cut the packet."""
    protocol = {"tcp": 6, "udp": 17, "icmp": 1 if flow.family == 4 else 58}[flow.protocol]
    ip = read_ip(frame)
    if ip.is_fragment or ip.fragment_header or ip.protocol != protocol:
        return False
    return protocol in (6, 17) or frame[ip.l4] in (8, 0, 128, 129)


def _forger(steps, frame):
    """Whose step has a packet with a forged source address and this frame's source port."""
    at = read_ip(frame).l4
    port = int.from_bytes(frame[at:at + 2], "big")
    return next((outside for outside, step in steps.items() for packet in step.packets
                 if is_forged(packet) and packet.flow.seen_from(packet.side).source_port == port),
                None)


def is_forged(packet):
    return getattr(packet, "source", None) is not None


def outside_host(family, number):
    network = ipaddress.ip_network(plan.REMOTE_PREFIX[family])
    return str(network[256 + number])
