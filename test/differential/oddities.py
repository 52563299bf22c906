# SPDX-License-Identifier: Apache-2.0
"""Conversations of packets that are legal and rare, or not legal, or the box's own to answer."""

import dataclasses

from . import plan
from .datagrams import udp_datagram, udp_say
from .dialogue import Step
from .flow import BoxFlow
from .frames import IPV6_EXTENSION_HEADERS, Packet, cut, to_other_mac, xor_l3
from .plan import OUTSIDE, SIDES


def odd_packets(dialogue):
    """Headers that are legal and rare, or not legal, on packets of a flow that is open."""
    flow = dialogue.flow("udp")
    yield Step(flow, [udp_datagram(dialogue, flow, flow.opener)], opens=True)
    if dialogue.can_speak(flow, flow.answerer):
        yield udp_say(dialogue, flow, flow.answerer)
    sides = [side for side in SIDES if dialogue.can_speak(flow, side)]
    for name in dialogue.rng.sample(sorted(_ODDITIES[flow.family]), 3):
        side = dialogue.rng.choice(sides)
        style, damage = _ODDITIES[flow.family][name](dialogue.rng)
        packet = udp_datagram(dialogue, flow, side, 100, damage=damage)
        packet.style = dataclasses.replace(packet.style, **style)
        yield Step(flow, [packet], frozenset({"odd", name, f"from_{side}"}))
        yield from dialogue.maybe_error(flow)


def _option_bytes(*options):
    joined = b"".join(options)
    return joined + bytes(-len(joined) % 4)


_RECORD_ROUTE = bytes((7, 11, 4)) + bytes(8)
_RECORD_ROUTE_FULL = bytes((7, 7, 8)) + bytes(4)
_ROUTER_ALERT = bytes((148, 4, 0, 0))
_UNKNOWN_OPTION = bytes((0x9e, 4, 1, 2))
_LOOSE_SOURCE_ROUTE = bytes((131, 7, 4, 10, 0, 2, 99))
_NOP = b"\1"

_ODDITIES = {
    4: {
        "ttl_1": lambda rng: ({"ttl": 1}, None),
        "ttl_0": lambda rng: ({"ttl": 0}, None),
        "option_nop": lambda rng: ({"options": _NOP * 8}, None),
        "option_router_alert": lambda rng: ({"options": _ROUTER_ALERT}, None),
        "option_unknown": lambda rng: ({"options": _UNKNOWN_OPTION}, None),
        "option_record_route": lambda rng: ({"options": _option_bytes(_RECORD_ROUTE)}, None),
        "option_record_route_full": lambda rng: (
            {"options": _option_bytes(_RECORD_ROUTE_FULL)}, None),
        "option_source_route": lambda rng: ({"options": _option_bytes(_LOOSE_SOURCE_ROUTE)}, None),
        "option_broken": lambda rng: ({"options": bytes((0x9e, rng.choice((0, 1, 40)), 0, 0))},
                                      None),
        "wrong_version": lambda rng: ({}, xor_l3(0, 0x20)),
        "wrong_header_length": lambda rng: ({}, xor_l3(0, rng.choice((1, 6, 10)))),
        "wrong_ip_checksum": lambda rng: ({}, xor_l3(10, rng.randint(1, 255))),
        "cut_short": lambda rng: ({}, cut(rng.choice((1, 50, 101)))),
        "other_mac": lambda rng: ({}, to_other_mac),
    },
    6: {
        "ttl_1": lambda rng: ({"ttl": 1}, None),
        "ttl_0": lambda rng: ({"ttl": 0}, None),
        "hop_by_hop": lambda rng: ({"extension_headers": IPV6_EXTENSION_HEADERS["hop_by_hop"]},
                                   None),
        "destination_options": lambda rng: (
            {"extension_headers": IPV6_EXTENSION_HEADERS["destination_options"]}, None),
        "both_headers": lambda rng: ({"extension_headers": IPV6_EXTENSION_HEADERS["both"]}, None),
        "routing_type_0": lambda rng: (
            {"extension_headers": IPV6_EXTENSION_HEADERS["routing_type_0"]}, None),
        "routing_finished": lambda rng: (
            {"extension_headers": IPV6_EXTENSION_HEADERS["routing_finished"]}, None),
        "atomic_fragment": lambda rng: (
            {"extension_headers": IPV6_EXTENSION_HEADERS["atomic_fragment"]}, None),
        "wrong_version": lambda rng: ({}, xor_l3(0, 0x20)),
        "cut_short": lambda rng: ({}, cut(rng.choice((1, 50, 101)))),
        "other_mac": lambda rng: ({}, to_other_mac),
    },
}


def martians(dialogue):
    """Sources that no host can have. The destination is the conversation's mark."""
    flow = dialogue.flow("udp")
    sources = (("127.0.0.1", "0.1.2.3", "224.0.0.1", "255.255.255.255") if flow.family == 4 else
               ("::1", "::", "ff02::1", "fe80::1", "::ffff:127.0.0.1"))
    for source in sources:
        forged = udp_datagram(dialogue, flow, flow.opener, 20)
        forged.source = source
        yield Step(flow, [forged], frozenset({"martian"}))


def to_the_box(dialogue):
    """What is the box's own to answer: pings, ports that no service has, protocols it lacks."""
    family, rng = dialogue.family, dialogue.rng
    address = rng.choice((plan.VIP[family], plan.BOX[family][OUTSIDE],
                          plan.OUTSIDE_ADDRESS[family]))
    for protocol in ("icmp", "tcp", "udp", "icmp"):
        flow = BoxFlow(protocol, family, dialogue.outside, rng.randint(1024, 65535), address,
                       plan.UNSERVED_PORT)
        packet = Packet(flow, OUTSIDE, dialogue.style(ttl=64), payload=rng.randbytes(20))
        if protocol == "tcp":
            packet.l4 = {"flags": rng.choice(("S", "A", "FA", "R")), "seq": 1000, "ack": 2000}
        yield Step(flow, [packet], frozenset({"to_the_box", f"{protocol}_to_the_box"}))
