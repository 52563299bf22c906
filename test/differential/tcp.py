# SPDX-License-Identifier: Apache-2.0
"""TCP conversations: connections as they are, and segments that fit into none."""

from .dialogue import SEQUENCE_SPACE, Step, in_fragments, other, payload_room
from .frames import IpStyle, Packet, cut, padded, xor_l4
from .plan import SIDES


class TcpSide:
    """One end of a connection: its numbers and its habits."""

    def __init__(self, rng, side):
        self.rng = rng
        self.side = side
        self.next = rng.randrange(SEQUENCE_SPACE)
        self.acknowledged = 0
        self.has_timestamps = rng.random() < 0.5
        self.clock = rng.randrange(SEQUENCE_SPACE)

    def syn_options(self):
        options = [option for option in (
            ("MSS", self.rng.choice((536, 1220, 1460, 9000))), ("SAckOK", b""),
            ("WScale", self.rng.randrange(15)), ("NOP", None)) if self.rng.random() < 0.7]
        self.rng.shuffle(options)
        return options + self._timestamps() + self._odd_option()

    def options(self):
        options = self._timestamps()
        if self.rng.random() < 0.15:
            left = self.rng.randrange(SEQUENCE_SPACE - 5000)
            options = options + [("NOP", None), ("NOP", None), ("SAck", (left, left + 1000))]
        return options + self._odd_option()

    def _timestamps(self):
        if not self.has_timestamps:
            return []
        self.clock = (self.clock + self.rng.randrange(100)) % SEQUENCE_SPACE
        return [("NOP", None), ("NOP", None), ("Timestamp", (self.clock, self.clock))]

    def _odd_option(self):
        """Experiments, multipath, fast open, what nobody knows; or the end of the list."""
        if self.rng.random() < 0.85:
            return []
        return [self.rng.choice(((253, b"\x12\x34"), (30, b"\x00\x81abcdefgh"), (34, b""),
                                 (200, b""), ("EOL", None)))]


class Tcp:
    """A connection: packets of its two sides that fit, or nearly fit, into it."""

    def __init__(self, dialogue, flow):
        self.dialogue = dialogue
        self.rng = dialogue.rng
        self.flow = flow
        self.ends = {side: TcpSide(self.rng, side) for side in SIDES}

    def step(self, side, flags, payload=b"", tags=(), advance=True, **fields):
        """The Step of one segment. Afterwards its sequence space is used, unless not `advance`."""
        segment = self.segment(side, flags, payload, **fields)
        if advance:
            self.advance(side, flags, payload)
        is_syn = "S" in flags and "A" not in flags and side == self.flow.opener
        return Step(self.flow, [segment], frozenset(tags), opens=is_syn)

    def segment(self, side, flags, payload=b"", style=None, damage=None, **fields):
        end = self.ends[side]
        l4 = {"flags": flags, "seq": end.next, "ack": end.acknowledged if "A" in flags else 0,
              "window": self.rng.choice((0, 1, 512, 65535)),
              "options": end.syn_options() if "S" in flags else end.options(),
              "urgptr": self.rng.randrange(100) if "U" in flags else 0}
        l4.update(fields)
        return Packet(self.flow, side, style or self.dialogue.style(), l4, payload, damage)

    def advance(self, side, flags, payload):
        end, peer = self.ends[side], self.ends[other(side)]
        end.next = (end.next + len(payload) + ("S" in flags) + ("F" in flags)) % SEQUENCE_SPACE
        peer.acknowledged = end.next

    def data(self):
        return self.rng.randbytes(self.rng.choice((0, 1, 2, 3, 17, 18, 100, 536, 1300)))


def tcp_connection(dialogue):
    """From the handshake to the end and past it, with errors about its segments in between."""
    tcp = Tcp(dialogue, dialogue.flow("tcp"))
    yield from tcp_open(tcp)
    if not dialogue.can_speak(tcp.flow, tcp.flow.answerer):
        return
    yield from tcp_talk(tcp, tcp.rng.randint(1, 6))
    yield from tcp_close(tcp)
    yield from tcp_afterwards(tcp)


def tcp_open(tcp):
    opener, answerer = tcp.flow.opener, tcp.flow.answerer
    for _ in range(tcp.rng.choice((1, 1, 1, 2))):
        yield tcp.step(opener, tcp.rng.choice(("S", "S", "S", "SEC")), advance=False)
    tcp.advance(opener, "S", b"")
    if not tcp.dialogue.can_speak(tcp.flow, answerer):
        return
    yield from tcp.dialogue.maybe_error(tcp.flow)
    for _ in range(tcp.rng.choice((1, 1, 1, 2))):
        yield tcp.step(answerer, "SA", advance=False)
    tcp.advance(answerer, "S", b"")
    yield tcp.step(opener, "A")


def tcp_talk(tcp, count):
    for _ in range(count):
        side = tcp.rng.choice(SIDES)
        yield tcp.rng.choice(_TCP_TALK)(tcp, side)
        yield from tcp.dialogue.maybe_error(tcp.flow)


def tcp_say(tcp, side):
    flags = tcp.rng.choice(("A", "PA", "PA", "PAU", "AE", "AC"))
    return tcp.step(side, flags, tcp.data())


def tcp_acknowledge(tcp, side):
    return tcp.step(side, "A")


def tcp_repeat(tcp, side):
    """A segment and its retransmission, with other IP headers."""
    payload = tcp.data()
    first, again = (tcp.segment(side, "PA", payload) for _ in range(2))
    tcp.advance(side, "PA", payload)
    return Step(tcp.flow, [first, again])


def tcp_out_of_order(tcp, side):
    segments = []
    for _ in range(3):
        payload = tcp.data()
        segments.append(tcp.segment(side, "A", payload))
        tcp.advance(side, "A", payload)
    tcp.rng.shuffle(segments)
    return Step(tcp.flow, segments)


def tcp_keep_alive(tcp, side):
    before = (tcp.ends[side].next - 1) % SEQUENCE_SPACE
    return tcp.step(side, "A", advance=False, seq=before)


def tcp_anywhere(tcp, side):
    """Numbers far from any window."""
    return tcp.step(side, "A", tcp.data(), advance=False,
                    seq=tcp.rng.randrange(SEQUENCE_SPACE), ack=tcp.rng.randrange(SEQUENCE_SPACE))


def tcp_wrong_checksum(tcp, side):
    return tcp.step(side, "PA", b"spoilt on the way", advance=False, damage=xor_l4(25, 0x40))


def tcp_padded(tcp, side):
    return tcp.step(side, "A", damage=padded(tcp.rng.randint(1, 18)))


def tcp_full(tcp, side):
    payload = tcp.rng.randbytes(payload_room(tcp.flow.family, side) - 12)
    return tcp.step(side, "A", payload, options=[], tags={"full_size", f"from_{side}"})


def tcp_in_fragments(tcp, side):
    packet = tcp.segment(side, "PA", tcp.rng.randbytes(1000),
                         style=IpStyle.random(tcp.rng, dont_fragment=False))
    tcp.advance(side, "PA", packet.payload)
    return Step(tcp.flow, [in_fragments(tcp.rng, packet)], frozenset({"fragments"}))


_TCP_TALK = (tcp_say, tcp_say, tcp_say, tcp_acknowledge, tcp_repeat, tcp_out_of_order,
             tcp_keep_alive, tcp_anywhere, tcp_wrong_checksum, tcp_padded, tcp_full,
             tcp_in_fragments)


def tcp_close(tcp):
    """In one of the ways that connections end."""
    first = tcp.rng.choice(SIDES)
    second = other(first)
    way = tcp.rng.choice(("fins", "fins", "half", "simultaneous", "reset", "fin_then_reset",
                          "none"))
    if way == "reset":
        yield tcp.step(first, tcp.rng.choice(("R", "RA")))
        return
    if way == "none":
        return
    yield tcp.step(first, "FA", tcp.data(), advance=way != "simultaneous")
    if way == "half":
        yield tcp.step(second, "A")
        yield tcp.step(second, "PA", tcp.data())
        yield tcp.step(first, "A")
    if way == "fin_then_reset":
        yield tcp.step(second, "R")
        return
    yield tcp.step(second, "FA", tcp.data())
    yield tcp.step(first, "A")
    yield from tcp.dialogue.maybe_error(tcp.flow)


def tcp_afterwards(tcp):
    for _ in range(tcp.rng.randint(0, 2)):
        side = tcp.rng.choice(SIDES)
        yield tcp.step(side, tcp.rng.choice(("A", "FA", "RA")), advance=False,
                       tags={"after_close"})


def tcp_refused(dialogue):
    """A SYN that is answered by a reset, twice."""
    tcp = Tcp(dialogue, dialogue.flow("tcp"))
    yield tcp.step(tcp.flow.opener, "S")
    if dialogue.can_speak(tcp.flow, tcp.flow.answerer):
        yield tcp.step(tcp.flow.answerer, "RA")
        yield tcp.step(tcp.flow.answerer, "RA", tags={"refused_again"})


def tcp_reopened(dialogue):
    """The same ports again after a complete close (RFC 9293 section 3.10.7.4)."""
    tcp = Tcp(dialogue, dialogue.flow("tcp"))
    for _ in range(2):
        yield from tcp_open(tcp)
        if not dialogue.can_speak(tcp.flow, tcp.flow.answerer):
            return
        yield from tcp_talk(tcp, 1)
        first = tcp.rng.choice(SIDES)
        yield tcp.step(first, "FA")
        yield tcp.step(other(first), "FA")
        yield tcp.step(first, "A")


def tcp_contended(dialogue):
    """Connections that use the same port towards the same end, one after the other begun."""
    connections = [Tcp(dialogue, flow) for flow in dialogue.contended_flows("tcp")]
    for tcp in connections:
        yield from tcp_open(tcp)
    for tcp in connections:
        if dialogue.can_speak(tcp.flow, tcp.flow.answerer):
            yield from tcp_talk(tcp, 2)


def tcp_without_session(dialogue):
    """Segments of connections that nobody opened."""
    tcp = Tcp(dialogue, dialogue.flow("tcp"))
    side = tcp.rng.choice(SIDES) if dialogue.mode == "dnat" else tcp.flow.opener
    for _ in range(2):
        yield tcp.step(side, tcp.rng.choice(("A", "PA", "SA", "FA", "R", "RA")), tcp.data(),
                       tags={"no_session", f"from_{side}"}, advance=False)


def tcp_impossible(dialogue):
    """Flags and headers that no connection has, in a connection and outside of one."""
    tcp = Tcp(dialogue, dialogue.flow("tcp"))
    if tcp.rng.random() < 0.7:
        yield from tcp_open(tcp)
    sides = SIDES if dialogue.can_speak(tcp.flow, tcp.flow.answerer) else (tcp.flow.opener,)
    for _ in range(4):
        side = tcp.rng.choice(sides)
        name, step = tcp.rng.choice(_TCP_IMPOSSIBLE)
        yield step(tcp, side, {"impossible_tcp", name})


_TCP_IMPOSSIBLE = (
    ("flags", lambda tcp, side, tags: tcp.step(
        side, tcp.rng.choice(("", "F", "U", "P", "SF", "SR", "FPU", "SFRPAU", "RF")), tags=tags,
        advance=False)),
    ("short_offset", lambda tcp, side, tags: tcp.step(side, "A", tags=tags, advance=False,
                                                      dataofs=tcp.rng.randrange(5), options=[])),
    ("long_offset", lambda tcp, side, tags: tcp.step(side, "A", tags=tags, advance=False,
                                                     dataofs=15, options=[])),
    ("options", lambda tcp, side, tags: tcp.step(side, "A", b"", tags=tags, advance=False,
                                                 options=[("NOP", None)] * 4, damage=xor_l4(
                                                     tcp.rng.choice((20, 23)), 0x55))),
    ("no_ports", lambda tcp, side, tags: tcp.step(side, "A", tags=tags, advance=False, options=[],
                                                  damage=cut(tcp.rng.choice((1, 10, 18))))),
)


def tcp_out_of_place(dialogue):
    """Right segments at the wrong time."""
    tcp = Tcp(dialogue, dialogue.flow("tcp"))
    opener, answerer = tcp.flow.opener, tcp.flow.answerer
    yield tcp.step(opener, "S")
    if not dialogue.can_speak(tcp.flow, answerer):
        return
    side, flags = tcp.rng.choice(((opener, "A"), (opener, "PA"), (opener, "SA"), (opener, "FA"),
                                  (answerer, "A"), (answerer, "PA"), (answerer, "S"),
                                  (answerer, "FA")))
    name = f"{'opener' if side == opener else 'answerer'}_{flags}_in_syn_sent"
    yield tcp.step(side, flags, tags={"out_of_place", name}, advance=False)
    yield tcp.step(answerer, "SA")
    yield tcp.step(opener, "A")
    side, flags = tcp.rng.choice(((opener, "S"), (opener, "SA"), (answerer, "S"),
                                  (answerer, "SA")))
    name = f"{'opener' if side == opener else 'answerer'}_{flags}_in_established"
    yield tcp.step(side, flags, tags={"out_of_place", name}, advance=False)
    yield from tcp_talk(tcp, 2)
