# SPDX-License-Identifier: Apache-2.0
"""Packets of tunnels, as captured at their backends."""

import socket

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from topology.backend import GUE_PORT

INNER_PROTOCOL = {4: socket.IPPROTO_IPIP, 6: socket.IPPROTO_IPV6}


def filter_of(mode):
    if mode.encapsulation == "gue":
        return f"udp dst port {GUE_PORT}"
    return f"{'ip' if mode.backend_family == 4 else 'ip6'} proto {INNER_PROTOCOL[mode.family]}"


def outer_of(packet, mode):
    return packet.getlayer(IP if mode.backend_family == 4 else IPv6, 1)


def inner_of(packet, mode):
    """The packet that the client sent, as it was wrapped."""
    outer = outer_of(packet, mode)
    payload = bytes(outer.payload)
    if mode.encapsulation == "gue":
        payload = bytes(outer[UDP].payload)
        if payload[0] >> 6 == 0:
            assert payload[:2] == bytes([0, INNER_PROTOCOL[mode.family]])
            payload = payload[4:]
    return (IP if mode.family == 4 else IPv6)(payload)
