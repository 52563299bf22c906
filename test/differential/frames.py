# SPDX-License-Identifier: Apache-2.0
"""Templates of packets: every random choice is made once, the frame is then built for each box."""

import dataclasses

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting,
                                fragment6)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from . import plan

ETHERNET_BYTES = 14


@dataclasses.dataclass
class IpStyle:
    """The parts of an IP header that are the sender's taste."""

    ttl: int = 64
    tos: int = 0
    ident: int = 0
    dont_fragment: bool = True
    flow_label: int = 0
    options: bytes = b""           # IPv4
    extension_headers: tuple = ()  # IPv6, scapy layers

    @classmethod
    def random(cls, rng, dont_fragment=None):
        if dont_fragment is None:
            dont_fragment = rng.random() < 0.7
        return cls(ttl=rng.choice((64, 64, 128, 255, 2, rng.randint(3, 254))),
                   tos=rng.choice((0, 0, 0x10, 0x01, 0x02, 0x03, rng.randrange(256))),
                   ident=rng.randrange(65536), dont_fragment=dont_fragment,
                   flow_label=rng.choice((0, rng.randrange(1 << 20))))

    def header(self, family, source, destination):
        if family == 4:
            return IP(src=source, dst=destination, ttl=self.ttl, tos=self.tos, id=self.ident,
                      flags="DF" if self.dont_fragment else 0, options=self.options)
        ip = IPv6(src=source, dst=destination, hlim=self.ttl, tc=self.tos, fl=self.flow_label)
        for header in self.extension_headers:
            ip = ip / header.copy()
        return ip


def ethernet(side):
    return Ether(src=plan.END_MAC[side], dst=plan.BOX_MAC[side])


@dataclasses.dataclass
class Packet:
    """A packet of a flow from one side. damage: what happens to its bytes on the way, or None.
    source: a forged source address."""

    flow: object
    side: str
    style: IpStyle
    l4: dict = dataclasses.field(default_factory=dict)
    payload: bytes = b""
    damage: object = None
    source: str = None

    def frames(self, box):
        """The bytes to send to this box."""
        frame = bytes(ethernet(self.side) / self.layer3(box))
        return [self.damage(frame) if self.damage else frame]

    def layer3(self, box):
        ends = self.flow.seen_from(self.side, box)
        ip = self.style.header(self.flow.family, self.source or ends.source, ends.destination)
        return ip / self._layer4(ends) / Raw(self.payload) if self.payload else \
            ip / self._layer4(ends)

    def _layer4(self, ends):
        protocol = self.flow.protocol
        if protocol == "tcp":
            return TCP(sport=ends.source_port, dport=ends.destination_port, **self.l4)
        if protocol == "udp":
            return UDP(sport=ends.source_port, dport=ends.destination_port, **self.l4)
        return echo(self.flow.family, self.side == self.flow.opener, ends.source_port, **self.l4)


def echo(family, is_request, identifier, seq=0):
    if family == 4:
        return ICMP(type=8 if is_request else 0, id=identifier, seq=seq)
    return (ICMPv6EchoRequest if is_request else ICMPv6EchoReply)(id=identifier, seq=seq)


@dataclasses.dataclass
class Fragments:
    """A packet in pieces of at most `piece_bytes`; identification: IPv6's.

    arrange: list of pieces → those to send, in their order. overlap: the second piece stands 8
    bytes before its place.
    """

    packet: Packet
    piece_bytes: int
    identification: int
    arrange: object
    overlap: bool = False

    @property
    def side(self):
        return self.packet.side

    def frames(self, box):
        whole = self.packet.layer3(box)
        pieces = (self._pieces4 if self.packet.flow.family == 4 else self._pieces6)(whole)
        return [bytes(ethernet(self.side) / piece) for piece in self.arrange(pieces)]

    def _pieces4(self, whole):
        pieces = fragment(whole, fragsize=self.piece_bytes)
        if self.overlap:
            pieces[1].frag -= 1
        return pieces

    def _pieces6(self, whole):
        content = bytes(whole)
        header = IPv6(content[:40])
        fragment_header = IPv6ExtHdrFragment(id=self.identification, nh=header.nh)
        header.nh, header.plen = 44, None
        with_header = header / fragment_header / Raw(content[40:])
        pieces = fragment6(with_header, self.piece_bytes + 48 + 8)
        if self.overlap:
            pieces[1][IPv6ExtHdrFragment].offset -= 1
        return pieces


# --- damage ------------------------------------------------------------------------------------


def l4_offset(frame):
    """Of frames that the templates build without IPv6 extension headers."""
    if frame[12:14] == b"\x08\x00":
        return ETHERNET_BYTES + (frame[ETHERNET_BYTES] & 15) * 4
    return ETHERNET_BYTES + 40


def padded(count):
    """Behind the packet's end, as Ethernet has it on short frames."""
    return lambda frame: frame + bytes((0xa5 + i) & 0xff for i in range(count))


def xor_l4(offset, value):
    """Another byte in the transport header, its checksum left as it was."""

    def change(frame):
        at = l4_offset(frame) + offset
        return frame[:at] + bytes((frame[at] ^ value,)) + frame[at + 1:]

    return change


def xor_l3(offset, value):
    def change(frame):
        at = ETHERNET_BYTES + offset
        return frame[:at] + bytes((frame[at] ^ value,)) + frame[at + 1:]

    return change


def cut(count):
    """The frame ends early: its lengths promise more."""
    return lambda frame: frame[:-count]


def to_other_mac(frame):
    return bytes((frame[0], frame[1] ^ 1)) + frame[2:]


IPV6_EXTENSION_HEADERS = {
    "hop_by_hop": (IPv6ExtHdrHopByHop(),),
    "destination_options": (IPv6ExtHdrDestOpt(),),
    "both": (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()),
    "routing_type_0": (IPv6ExtHdrRouting(type=0, addresses=["fd00:2::99"], segleft=1),),
    "routing_finished": (IPv6ExtHdrRouting(type=4, addresses=["fd00:2::99"], segleft=0),),
    "atomic_fragment": (IPv6ExtHdrFragment(id=7),),
}
