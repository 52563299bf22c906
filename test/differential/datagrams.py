# SPDX-License-Identifier: Apache-2.0
"""Conversations over UDP and ICMP echo, whole and in fragments."""

import dataclasses

from .dialogue import Step, in_fragments, payload_room
from .frames import Packet, padded, xor_l4
from .plan import INSIDE, OUTSIDE, SIDES


def udp_exchange(dialogue):
    flow = dialogue.flow("udp")
    rng = dialogue.rng
    yield Step(flow, [udp_datagram(dialogue, flow, flow.opener)], opens=True)
    for _ in range(rng.randint(1, 8)):
        side = rng.choice(SIDES)
        if not dialogue.can_speak(flow, side):
            continue
        yield rng.choice(_UDP_STEPS)(dialogue, flow, side)
        yield from dialogue.maybe_error(flow)


def udp_datagram(dialogue, flow, side, size=None, **settings):
    if size is None:
        size = dialogue.rng.choice((0, 1, 2, 3, 17, 18, 19, 200, 548, 1300))
    return Packet(flow, side, dialogue.style(), payload=dialogue.rng.randbytes(size), **settings)


def udp_say(dialogue, flow, side):
    return Step(flow, [udp_datagram(dialogue, flow, side)])


def udp_burst(dialogue, flow, side):
    return Step(flow, [udp_datagram(dialogue, flow, side) for _ in range(3)])


def udp_full(dialogue, flow, side):
    return Step(flow, [udp_datagram(dialogue, flow, side, payload_room(flow.family, side))],
                frozenset({"full_size", f"from_{side}"}))


def udp_without_checksum(dialogue, flow, side):
    return Step(flow, [udp_datagram(dialogue, flow, side, 100, l4={"chksum": 0})],
                frozenset({"udp_without_checksum", f"from_{side}"}))


def udp_wrong_checksum(dialogue, flow, side):
    return Step(flow, [udp_datagram(dialogue, flow, side, 100, damage=xor_l4(20, 1))])


def udp_padded(dialogue, flow, side):
    return Step(flow, [udp_datagram(dialogue, flow, side, 4,
                                    damage=padded(dialogue.rng.randint(1, 14)))])


def udp_wrong_length(dialogue, flow, side):
    length = dialogue.rng.choice((0, 7, 9, 1000))
    return Step(flow, [udp_datagram(dialogue, flow, side, 100, l4={"len": length})],
                frozenset({"udp_wrong_length", f"udp_length_{length}"}))


def udp_in_fragments(dialogue, flow, side):
    packet = udp_datagram(dialogue, flow, side, dialogue.rng.choice((600, 1473, 2000, 4000)))
    packet.style.dont_fragment = False
    return Step(flow, [in_fragments(dialogue.rng, packet)], frozenset({"fragments"}))


_UDP_STEPS = (udp_say, udp_say, udp_burst, udp_full, udp_without_checksum, udp_wrong_checksum,
              udp_padded, udp_wrong_length, udp_in_fragments, udp_in_fragments)


def fragments_in_two_steps(dialogue):
    """A datagram whose last piece, in whatever order, comes after everything else has gone by."""
    flow = dialogue.flow("udp")
    yield Step(flow, [udp_datagram(dialogue, flow, flow.opener)], opens=True)
    sides = [side for side in SIDES if dialogue.can_speak(flow, side)]
    for _ in range(2):
        packet = udp_datagram(dialogue, flow, dialogue.rng.choice(sides), 2000)
        packet.style.dont_fragment = False
        pieces = in_fragments(dialogue.rng, packet)
        arrange = pieces.arrange
        early = dataclasses.replace(pieces, arrange=lambda all_, a=arrange: a(all_)[:-1])
        late = dataclasses.replace(pieces, arrange=lambda all_, a=arrange: a(all_)[-1:])
        yield Step(flow, [early], frozenset({"fragments"}))
        yield udp_say(dialogue, flow, packet.side)
        yield Step(flow, [late], frozenset({"fragments"}))


def fragments_overlapping(dialogue):
    """A piece that says something else about bytes of another: the datagram is gone (RFC 5722)."""
    flow = dialogue.flow("udp")
    yield Step(flow, [udp_datagram(dialogue, flow, flow.opener)], opens=True)
    packet = udp_datagram(dialogue, flow, flow.opener, 2000)
    packet.style.dont_fragment = False
    pieces = dataclasses.replace(in_fragments(dialogue.rng, packet), overlap=True)
    yield Step(flow, [pieces], frozenset({"fragments", "overlap"}))
    yield udp_say(dialogue, flow, flow.opener)


def udp_unasked(dialogue):
    """From the side that cannot begin."""
    flow = dialogue.flow("udp")
    if dialogue.mode == "dnat":
        yield Step(flow, [udp_datagram(dialogue, flow, INSIDE)],
                   frozenset({"no_session", "from_inside"}))


def echo_exchange(dialogue):
    """Pings through SNAT, several in flight, answered in any order or twice."""
    flow = dialogue.flow("icmp")
    rng = dialogue.rng
    for number in range(rng.randint(1, 5)):
        payload = rng.randbytes(rng.choice((0, 1, 56, 1000)))
        yield Step(flow, [Packet(flow, INSIDE, dialogue.style(), {"seq": number}, payload)],
                   opens=number == 0)
        if not dialogue.can_speak(flow, OUTSIDE):
            return
        for _ in range(rng.choice((0, 1, 1, 2))):
            yield Step(flow, [Packet(flow, OUTSIDE, dialogue.style(), {"seq": number}, payload)])
        yield from dialogue.maybe_error(flow)


def udp_contended(dialogue):
    """Flows that use the same port towards the same end: only one can keep it."""
    flows = dialogue.contended_flows("udp")
    for flow in flows:
        yield Step(flow, [udp_datagram(dialogue, flow, flow.opener)], opens=True)
    for _ in range(5):
        flow, side = dialogue.rng.choice(flows), dialogue.rng.choice(SIDES)
        if dialogue.can_speak(flow, side):
            yield udp_say(dialogue, flow, side)
            yield from dialogue.maybe_error(flow)
