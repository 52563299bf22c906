# SPDX-License-Identifier: Apache-2.0
"""Tunnels: what is on the wire to the backends. (The rest: test_modes.py, test_path_mtu.py.)"""

import contextlib
import socket

import traffic
from capture import Capture
from modes import TUNNEL, each_of
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from topology import network
from topology.backend import GUE_PORT
from topology.shell import wait_until

PORT = 7777
INNER_PROTOCOL = {4: socket.IPPROTO_IPIP, 6: socket.IPPROTO_IPV6}
# Expedited forwarding, ECN-capable transport: RFC 6040 has the outer header carry the same.
TRAFFIC_CLASS = 46 << 2 | 2
CONNECTIONS = 32


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


def traffic_class(ip):
    return ip.tos if ip.version == 4 else ip.tc


@each_of(*TUNNEL)
def test_one_connection_is_wrapped_whole(topology, mode):
    backend = topology.backends[0]
    mode.apply(topology, [backend])
    traffic.fetch(topology, mode.vip)
    with Capture(backend.namespace, "eth0", filter_of(mode)) as at_backend:
        with Capture(topology.client, "client0", "tcp port 80") as at_client:
            traffic.fetch(topology, mode.vip)
            at_client.wait_for_end_of_connection()
        sent = [p[TCP] for p in at_client.packets() if p[TCP].dport == 80]
        at_backend.wait_for(lambda packets: len(packets) >= len(sent))
    # The client's capture may end before the last acknowledgement.
    wrapped = [packet for packet in at_backend.packets()
               if inner_of(packet, mode)[TCP].sport == sent[-1].sport]
    sent = [bytes(tcp) for tcp in sent if tcp.sport == sent[-1].sport]
    assert [bytes(inner_of(packet, mode)[TCP]) for packet in wrapped][:len(sent)] == sent
    local = network.LOCAL_IPV4 if mode.backend_family == 4 else network.LOCAL_IPV6
    for packet in wrapped:
        outer, inner = outer_of(packet, mode), inner_of(packet, mode)
        assert (inner.src, inner.dst) == (mode.client_address, mode.vip)
        assert outer.src in local and outer.dst == mode.address_of(backend)
        assert checksum_is_right(outer)
        if mode.encapsulation == "gue":
            assert outer[UDP].dport == GUE_PORT
        elif mode.backend_family == 4:
            assert outer.proto == INNER_PROTOCOL[mode.family]
        else:
            assert outer.nh == INNER_PROTOCOL[mode.family]


def checksum_is_right(ip):
    if ip.version == 6:
        return True
    again = ip.copy()
    del again.chksum
    return IP(bytes(again)).chksum == ip.chksum


@each_of(*TUNNEL)
def test_flows_differ_in_the_outer_header(topology, mode):
    """So that receivers spread them over their queues."""
    backend = topology.backends[0]
    mode.apply(topology, [backend])
    with Capture(backend.namespace, "eth0", filter_of(mode)) as capture:
        for _ in range(CONNECTIONS):
            traffic.fetch(topology, mode.vip)
    headers_of = {}
    for packet in capture.packets():
        outer = outer_of(packet, mode)
        header = (outer.src, outer[UDP].sport if mode.encapsulation == "gue" else None)
        headers_of.setdefault(inner_of(packet, mode)[TCP].sport, set()).add(header)
    assert all(len(headers) == 1 for headers in headers_of.values()), "a flow keeps its own"
    assert len(set().union(*headers_of.values())) > 1


@contextlib.contextmanager
def sockets(topology, mode):
    """The client's, connected to the VIP's UDP service, and the backend's own."""
    inet = socket.AF_INET if mode.family == 4 else socket.AF_INET6
    backend = topology.backends[0]
    mode.apply(topology, [backend], port=PORT, protocol="udp")
    with topology.client.socket(inet, socket.SOCK_DGRAM) as client, \
         backend.namespace.socket(inet, socket.SOCK_DGRAM) as server:
        server.bind((mode.vip, PORT))
        server.settimeout(0.2)
        client.connect((mode.vip, PORT))
        yield client, server


def arrives(client, server, message):
    """Sent again each time: a first packet may be lost while the backend's neighbour resolves."""
    client.send(message)
    try:
        return server.recv(65535) == message
    except TimeoutError:
        return False


@each_of(*TUNNEL)
def test_outer_header_has_the_traffic_class(topology, mode):
    with sockets(topology, mode) as (client, server):
        if mode.family == 4:
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TRAFFIC_CLASS)
        else:
            client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, TRAFFIC_CLASS)
        with Capture(topology.backends[0].namespace, "eth0", filter_of(mode)) as capture:
            wait_until(lambda: arrives(client, server, b"urgent"), "the message arrives", 3)
            capture.wait_for(lambda packets: packets)
    packet = capture.packets()[-1]
    assert traffic_class(outer_of(packet, mode)) == TRAFFIC_CLASS
    assert traffic_class(inner_of(packet, mode)) == TRAFFIC_CLASS
