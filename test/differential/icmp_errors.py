# SPDX-License-Identifier: Apache-2.0
"""ICMP errors about packets that arrived, by the host that they were for or a router before it."""

import dataclasses
import struct

from scapy.layers.inet import ICMP
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6ParamProblem,
                                ICMPv6TimeExceeded)
from scapy.packet import Raw

from . import plan
from .canonical import read_ip
from .frames import ETHERNET_BYTES, IpStyle, ethernet, xor_l4


@dataclasses.dataclass
class IcmpError:
    """Sent from `side`, about what arrived there: arrived[box]."""

    flow: object
    side: str
    style: IpStyle
    arrived: dict
    reporter: str   # its address, or None: the host that the packet was for
    message: object  # scapy's ICMP header
    quoted_bytes: int
    extended: bool  # RFC 4884
    damage: object = None

    def frames(self, box):
        about = self.arrived[box]
        ip = read_ip(about)
        quoted = about[ip.start:min(ip.end, ip.start + self.quoted_bytes)]
        message = self.message.copy()
        if self.extended:
            quoted = quoted[:128].ljust(128, b"\0") + _EXTENSION
            message.length = 128 // (4 if ip.version == 4 else 8)
        header = self.style.header(ip.version, self.reporter or ip.destination, ip.source)
        frame = bytes(ethernet(self.side) / header / message / Raw(quoted))
        return [self.damage(frame) if self.damage else frame]


# Version 2, checksum, one object of class 1 (MPLS) type 1 with an entry.
_EXTENSION = bytes.fromhex("2000e5fa" "00080101" "18ff1101")

_MESSAGES = {
    4: (lambda rng: ICMP(type=3, code=rng.choice((0, 1, 2, 3, 9, 10, 13))),
        lambda rng: ICMP(type=3, code=4, nexthopmtu=rng.choice((0, 68, 576, 1280, 1400, 1492))),
        lambda rng: ICMP(type=11, code=rng.randrange(2)),
        lambda rng: ICMP(type=12, code=rng.randrange(2), ptr=rng.randrange(20))),
    6: (lambda rng: ICMPv6DestUnreach(code=rng.randrange(7)),
        lambda rng: ICMPv6PacketTooBig(mtu=rng.choice((1280, 1400, 1492))),
        lambda rng: ICMPv6TimeExceeded(code=rng.randrange(2)),
        lambda rng: ICMPv6ParamProblem(code=rng.randrange(3), ptr=rng.randrange(40))),
}


_UNUSUAL = {
    4: {"source_quench": lambda rng: ICMP(type=4), "redirect": lambda rng: ICMP(type=5, code=1)},
    6: {"unknown_error": lambda rng: ICMPv6DestUnreach(type=100)},
}


def unusual_error(rng, flow, side, arrived):
    """An error that is no longer sent, is spoilt, or quotes a packet that nobody sent."""
    error, tags = random_error(rng, flow, side, arrived)
    name = rng.choice((*_UNUSUAL[flow.family], "wrong_checksum", "quotes_nobody", "quotes_little"))
    if name in _UNUSUAL[flow.family]:
        error.message, error.extended = _UNUSUAL[flow.family][name](rng), False
    elif name == "wrong_checksum":
        error.damage = xor_l4(2, 1)
    elif name == "quotes_nobody":
        error.arrived = {box: _with_another_port(frame) for box, frame in arrived.items()}
    else:
        error.quoted_bytes, error.extended = rng.choice((0, 12, 19, 24, 27)), False
    return error, tags | {"unusual_error", f"error_{name}"}


def _with_another_port(frame):
    """The far host's port, which is no service's."""
    at = read_ip(frame).l4
    return frame[:at] + struct.pack("!HH", 7, 7) + frame[at + 4:]


def random_error(rng, flow, side, arrived):
    """An error from `side` about one of its arrivals, and its tags."""
    family = flow.family
    message = rng.choice(_MESSAGES[family])(rng)
    header_bytes = min(read_ip(frame).l4 - ETHERNET_BYTES for frame in arrived.values())
    reporter = rng.choice((None, plan.ROUTER[family][side], plan.FAR_ROUTER[family][side]))
    can_extend = not isinstance(message, (ICMPv6PacketTooBig, ICMPv6ParamProblem)) and not (
        family == 4 and message.type == 3 and message.code == 4)
    extended = can_extend and rng.random() < 0.1
    quoted = 128 if extended else header_bytes + rng.choice((8, 8, 12, 20, 28, 40, 64, 548, 1200))
    error = IcmpError(flow, side, IpStyle.random(rng), arrived, reporter, message, quoted, extended)
    return error, {f"error_from_{side}"}
