# SPDX-License-Identifier: Apache-2.0
"""A client that forges TOA options, made of raw frames.

It speaks from an address that no kernel owns, so that nobody resets its connection; the box is told
its neighbour entry. Frames go through a packet socket in the client's namespace.
"""

import ipaddress
import socket
import struct
import time

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from topology import network

FORGER = {4: "10.0.1.77", 6: "fd00:1::77"}
FORGED_ADDRESS = {4: "198.51.100.7", 6: "2001:db8::7"}
FORGED_OPTION = {family: (254, struct.pack("!H", 7) + ipaddress.ip_address(address).packed)
                 for family, address in FORGED_ADDRESS.items()}
ETH_P_ALL = 3
PORT = 40077
LIMIT_S = 5


def tcp_conversation(topology, vip, family):
    """Handshake, one GET, reset; every segment carries a forged option.

    Returns the bytes of the answer and the source port.
    """
    mac = _mac_of_client(topology)
    box = topology.box.namespace
    box.ip(f"neigh replace {FORGER[family]} lladdr {mac} dev steel0 nud permanent")
    try:
        with topology.client.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("client0", ETH_P_ALL))
            return _Forger(wire, mac, _mac_of_box(topology), vip, family).converse(), PORT
    finally:
        box.ip(f"neigh del {FORGER[family]} dev steel0")


def _mac_of_client(topology):
    return topology.client.run(["cat", "/sys/class/net/client0/address"]).stdout.strip()


def _mac_of_box(topology):
    return topology.box.namespace.run(["cat", "/sys/class/net/steel0/address"]).stdout.strip()


class _Forger:
    def __init__(self, wire, mac, box_mac, vip, family):
        ip = (IP if family == 4 else IPv6)(src=FORGER[family], dst=vip)
        self._wire = wire
        self._base = Ether(src=mac, dst=box_mac) / ip
        self._option = FORGED_OPTION[family]
        self._source = FORGER[family]
        self._sequence = 1000
        self._acknowledged = 0

    def converse(self):
        answer = b""
        self._send("S", options=[("MSS", 1400)])
        syn_ack = self._receive(lambda tcp: tcp.flags == "SA")
        self._sequence += 1
        self._acknowledged = syn_ack.seq + 1
        self._send("A")
        request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        self._send("PA", payload=request)
        self._sequence += len(request)
        while True:
            segment = self._receive(lambda tcp: tcp.seq == self._acknowledged
                                    and (len(tcp.payload) > 0 or tcp.flags.F))
            answer += bytes(segment.payload)
            self._acknowledged += len(segment.payload) + (1 if segment.flags.F else 0)
            if segment.flags.F:
                self._send("RA")
                return answer
            self._send("A")

    def _send(self, flags, options=(), payload=b""):
        tcp = TCP(sport=PORT, dport=80, flags=flags, seq=self._sequence, ack=self._acknowledged,
                  window=60000, options=[*options, self._option])
        self._wire.send(bytes(self._base / tcp / payload))

    def _receive(self, wanted):
        deadline = time.monotonic() + LIMIT_S
        while (remaining := deadline - time.monotonic()) > 0:
            self._wire.settimeout(remaining)
            try:
                frame = Ether(self._wire.recv(65535))
            except TimeoutError:
                break
            ip = frame.payload
            if (isinstance(ip, (IP, IPv6)) and ip.dst == self._source and ip.haslayer(TCP)
                    and wanted(_without_padding(ip))):
                return _without_padding(ip)
        raise AssertionError("the box did not answer the forger in time")


def _without_padding(ip):
    """A short frame's padding is no payload."""
    length = ip.len - ip.ihl * 4 if ip.version == 4 else ip.plen
    return TCP(bytes(ip.payload)[:length])
