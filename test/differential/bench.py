# SPDX-License-Identifier: Apache-2.0
"""A box under comparison between two raw ends, and the exchange of a batch of frames with it."""

import select
import socket
import struct
import time

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from topology import network
from topology.box import Box
from topology.namespace import Namespace
from topology.sweep import namespace_name

from . import plan
from .plan import INSIDE, OUTSIDE

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 8 << 20
_MARK_TIMEOUT_S = 30

# Nothing may depend on how fast the test runs, and what a router says is never rationed.
_BOX_SYSCTLS = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv4.icmp_msgs_per_sec": 1_000_000,
    "net.ipv4.icmp_msgs_burst": 1_000_000,
    "net.ipv6.icmp.ratelimit": 0,
}

# As a balancer in the middle has it: windows and checksums are the endpoints' business, and a
# connection is known from its SYN on or not at all.
_KERNEL_SYSCTLS = {
    "net.netfilter.nf_conntrack_tcp_be_liberal": 1,
    "net.netfilter.nf_conntrack_tcp_loose": 0,
    "net.netfilter.nf_conntrack_tcp_ignore_invalid_rst": 1,
    "net.netfilter.nf_conntrack_checksum": 0,
    **{f"net.netfilter.nf_conntrack_{name}": 3600 for name in (
        "tcp_timeout_syn_sent", "tcp_timeout_syn_recv", "tcp_timeout_fin_wait",
        "tcp_timeout_close_wait", "tcp_timeout_last_ack", "tcp_timeout_time_wait",
        "tcp_timeout_close", "tcp_timeout_unacknowledged", "tcp_timeout_max_retrans",
        "udp_timeout", "udp_timeout_stream", "icmp_timeout", "icmpv6_timeout")},
}


class RawEnd:
    """The neighbours on one side of a box: a packet socket on the far end of its port's cable."""

    def __init__(self, namespace, side):
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.bind((side, _ETH_P_ALL))
        self._socket.setblocking(False)
        self._own_mac = bytes.fromhex(plan.END_MAC[side].replace(":", ""))

    def fileno(self):
        return self._socket.fileno()

    def close(self):
        self._socket.close()

    def send(self, frame):
        self._socket.send(frame)

    def receive(self):
        """Every IP frame to this end that waits."""
        frames = []
        while True:
            try:
                frame = self._socket.recv(65535)
            except BlockingIOError:
                return frames
            if frame[:6] == self._own_mac and frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
                frames.append(frame)


class Bench:
    """One box with its two raw ends. Use as context; `name` is also its namespace's."""

    def __init__(self, name, pid):
        self.name = name
        self.box = Namespace(namespace_name(pid, name))
        self._neighbours = Namespace(namespace_name(pid, f"{name}-ends"))
        self.ends = {}
        self._round = 0

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        for end in self.ends.values():
            end.close()
        self._neighbours.delete()
        self.box.delete()

    def exchange(self, batch):
        """Sends [(side, frame)] in order. Returns [(side, frame)] of all that came out.

        The marks that follow the batch take every way through the box, and nothing overtakes: when
        they are back, all is back.
        """
        for side, frame in batch:
            self.ends[side].send(frame)
        self._round += 1
        return self._collect(self._send_marks())

    def _make(self):
        self.box.create().sysctl(_BOX_SYSCTLS)
        self._neighbours.create()
        for index, side in enumerate((OUTSIDE, INSIDE)):
            network.connect(self._neighbours, side, self.box, f"port{index}")
            self._neighbours.sysctl({f"net.ipv6.conf.{side}.disable_ipv6": 1})
            self._neighbours.ip(f"link set {side} address {plan.END_MAC[side]}")
            self.box.ip(f"link set port{index} address {plan.BOX_MAC[side]} mtu {plan.MTU[side]}")
            self.ends[side] = RawEnd(self._neighbours, side)

    def _add_routes(self, interface_of):
        """interface_of: side → the interface that carries the box's addresses there."""
        for side, interface in interface_of.items():
            self.box.ip(*(f"neigh replace {address} lladdr {plan.END_MAC[side]} dev {interface} "
                          "nud permanent" for address in plan.NEIGHBOURS[side]),
                        *(f"route add {prefix} via {router} dev {interface}"
                          for prefix, router in plan.ROUTES[side]))

    def _add_lent_addresses(self, interface, addresses):
        """Never the source of what the box says by itself."""
        self.box.ip(*(f"address add {address} dev {interface}"
                      f"{' nodad preferred_lft 0' if ':' in address else ''}"
                      for address in addresses))

    def _send_marks(self):
        """Returns the marks as they arrive: (side, IP protocol, number)."""
        awaited = set()
        for arrives, number, side, packet in _MARKS:
            payload = _mark_payload(self._round, number)
            protocol = 1 if ICMP in packet else 17
            self.ends[side].send(bytes(Ether(src=plan.END_MAC[side], dst=plan.BOX_MAC[side])
                                       / packet / payload))
            awaited.add((arrives, protocol, payload))
        return awaited

    def _collect(self, awaited):
        arrivals = []
        deadline = time.monotonic() + _MARK_TIMEOUT_S
        while awaited:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise AssertionError(f"box {self.name}: marks of round {self._round} did not come: "
                                     f"{awaited}")
            readable, _, _ = select.select(self.ends.values(), (), (), remaining)
            for side, end in self.ends.items():
                if end not in readable:
                    continue
                for frame in end.receive():
                    mark = (side, frame[23], frame[-len(_mark_payload(0, 0)):])
                    if frame[-12:-8] == _MARK:
                        awaited.discard(mark)
                    else:
                        arrivals.append((side, frame))
        return arrivals


_MARK = b"mark"


def _mark_payload(round_number, number):
    return _MARK + struct.pack("!II", round_number, number)


def _udp_mark(source, destination, source_port, destination_port):
    return IP(src=source, dst=destination) / UDP(sport=source_port, dport=destination_port)


def _echo_mark(source, destination):
    return IP(src=source, dst=destination) / ICMP(type=8, id=1, seq=1)


# (where it arrives, its number, where it is sent, the packet): translated in both directions,
# forwarded by the box's kernel in both, answered by it on both sides.
_MARKS = (
    (INSIDE, 1, OUTSIDE, _udp_mark(plan.MARKER[OUTSIDE], plan.VIP[4], 9, plan.MARK_PORT)),
    (OUTSIDE, 2, INSIDE, _udp_mark(plan.BACKEND[4], plan.MARKER[OUTSIDE], plan.MARK_PORT, 9)),
    (INSIDE, 3, OUTSIDE, _udp_mark(plan.MARKER[OUTSIDE], plan.ROUTER[4][INSIDE], 9, 10)),
    (OUTSIDE, 4, INSIDE, _udp_mark(plan.ROUTER[4][INSIDE], plan.MARKER[OUTSIDE], 10, 9)),
    (OUTSIDE, 5, OUTSIDE, _echo_mark(plan.ROUTER[4][OUTSIDE], plan.BOX[4][OUTSIDE])),
    (INSIDE, 6, INSIDE, _echo_mark(plan.ROUTER[4][INSIDE], plan.BOX[4][INSIDE])),
)


class KernelBench(Bench):
    """The kernel's own forwarding with nftables. ports: how SNAT chooses them, as nft says it."""

    def __init__(self, name, pid, ports=""):
        super().__init__(name, pid)
        self._ports = ports

    def _make(self):
        super()._make()
        for index, side in enumerate((OUTSIDE, INSIDE)):
            network.add_addresses(self.box, f"port{index}", plan.BOX_ADDRESSES[side])
        self._add_lent_addresses("port0", plan.VIP_ADDRESSES + plan.OUTSIDE_ADDRESSES)
        self._add_routes({OUTSIDE: "port0", INSIDE: "port1"})
        self.box.run(["nft", "-f", "-"], stdin=self._ruleset())
        self.box.sysctl(_KERNEL_SYSCTLS)

    def _ruleset(self):
        dnat = "\n".join(f"    {_IP[service.family]} daddr {plan.VIP[service.family]} "
                         f"{service.protocol} dport {service.port} dnat {_IP[service.family]} to "
                         f"{_with_port(plan.BACKEND[service.family], service.backend_port)}"
                         for service in plan.SERVICES)
        snat = "\n".join(f"    {_IP[family]} saddr {plan.INSIDE_PREFIX[family]} oifname port0 "
                         f"snat {_IP[family]} to {plan.OUTSIDE_ADDRESS[family]} {self._ports}"
                         for family in (4, 6))
        return _RULESET.format(dnat=dnat, snat=snat)


_IP = {4: "ip", 6: "ip6"}


def _with_port(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# Invalid is what belongs to no connection and opens none: the rule that goes with every NAT, for
# it would pass untranslated otherwise.
_RULESET = """
table inet differential {{
  chain invalid {{
    type filter hook prerouting priority mangle
    ct state invalid drop
  }}
  chain destination {{
    type nat hook prerouting priority dstnat
{dnat}
  }}
  chain source {{
    type nat hook postrouting priority srcnat
{snat}
  }}
}}
"""


class SteelyardBench(Bench):
    """Our daemons on the same addresses."""

    def __init__(self, name, pid, build_dir, directory):
        super().__init__(name, pid)
        self._directory = directory
        self._directory.mkdir(parents=True)
        self.daemons = Box(self.box, directory, build_dir,
                           [f"af_packet:port{index}" for index in range(2)])

    def __exit__(self, *exception):
        try:
            self.daemons.stop()
        finally:
            super().__exit__(*exception)

    def _make(self):
        super()._make()
        for index, side in enumerate((OUTSIDE, INSIDE)):
            network.make_port(self.box, f"port{index}")
            network.make_twin(self.box, index, plan.BOX_MAC[side], plan.BOX_ADDRESSES[side])
            self.box.ip(f"link set {network.twin(index)} mtu {plan.MTU[side]}")
        self._add_lent_addresses(network.twin(0), plan.OUTSIDE_ADDRESSES)
        self.daemons.start()
        # Only now: a twin loses its neighbours when the dataplane gives it its MAC.
        self._add_routes({OUTSIDE: network.twin(0), INSIDE: network.twin(1)})
        self.daemons.apply(plan.declared_state())
