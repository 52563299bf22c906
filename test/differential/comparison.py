# SPDX-License-Identifier: Apache-2.0
"""Arrivals against arrivals: the differences between them."""

import collections
import dataclasses

from scapy.layers.l2 import Ether
from scapy.packet import NoPayload

from .canonical import read_ip


@dataclasses.dataclass
class Difference:
    """Of one step: frames that only one box let out, or one that both did, with other fields.

    first, second: canonical frames, None where that box has none. fields: of a pair, the names of
    the differing ones, such as "IP.id"; layers of a quoted packet are numbered ("IP2.id").
    """

    step: object
    side: str
    first: bytes
    second: bytes
    fields: frozenset = frozenset()

    def describe(self, names):
        lines = [f"tags {sorted(self.step.tags)}, at {self.side}, fields {sorted(self.fields)}"]
        for name, frame in zip(names, (self.first, self.second)):
            lines.append(f"  {name}: " + (f"{Ether(frame)!r}\n    {frame.hex()}" if frame
                                          else "nothing"))
        return "\n".join(lines)


def compare(step, first, second):
    """The Differences between two multisets of canonical (side, frame)."""
    only_first = list((collections.Counter(first) - collections.Counter(second)).elements())
    only_second = list((collections.Counter(second) - collections.Counter(first)).elements())
    differences = []
    for side, frame in only_first:
        partner = _most_alike(side, frame, only_second)
        if partner is None:
            differences.append(Difference(step, side, frame, None))
        else:
            only_second.remove((side, partner))
            differences.append(Difference(step, side, frame, partner,
                                          differing_fields(frame, partner)))
    differences += [Difference(step, side, None, frame) for side, frame in only_second]
    return differences


def _most_alike(side, frame, candidates):
    """Of the candidates of that side the one that differs in the fewest fields and is the same kind
    of packet."""
    kind = _kind(frame)
    alike = [other for other_side, other in candidates if other_side == side
             and _kind(other) == kind]
    return min(alike, key=lambda other: len(differing_fields(frame, other)), default=None)


def _kind(frame):
    return [read_ip(frame).is_fragment, *(type(layer) for layer in _layers(Ether(frame)))][:4]


def differing_fields(first, second):
    before, after = _fields(first), _fields(second)
    return frozenset(name for name in before.keys() | after.keys()
                     if before.get(name) != after.get(name))


def _layers(packet):
    while packet and not isinstance(packet, NoPayload):
        yield packet
        packet = packet.payload


def _fields(frame):
    found, seen = {}, collections.Counter()
    for layer in _layers(Ether(frame)):
        name = type(layer).__name__.removesuffix("error")
        seen[name] += 1
        if seen[name] > 1:
            name += str(seen[name])
        for field in layer.fields_desc:
            found[f"{name}.{field.name}"] = layer.getfieldval(field.name)
    return found


def outer_checksums_are_right(frame):
    """Of the IP header and of what it carries, whole packets only."""
    packet = Ether(frame)
    for layer in list(_layers(packet))[1:3]:
        for name in ("chksum", "cksum"):
            if name in layer.fields:
                delattr(layer, name)
    return bytes(packet) == frame
