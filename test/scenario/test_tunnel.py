# SPDX-License-Identifier: Apache-2.0
"""Tunnels: what is on the wire to the backends. (The rest: test_modes.py, test_path_mtu.py.)"""

import contextlib
import dataclasses
import ipaddress
import socket

import traffic
from capture import Capture
from modes import TUNNEL, each_of
from scapy.layers.inet import IP, TCP, UDP
from topology import network
from topology.backend import GUE_PORT
from topology.shell import wait_until
from tunnels import INNER_PROTOCOL, filter_of, inner_of, outer_of

PORT = 7777
# Expedited forwarding, ECN-capable transport: RFC 6040 has the outer header carry the same.
TRAFFIC_CLASS = 46 << 2 | 2
CONNECTIONS = 32
# Of no link: whatever comes from there was sent by a tunnel.
SOURCE_PREFIXES = ["10.0.5.0/24", "fd00:5::/64"]


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


@each_of(*TUNNEL)
def test_outer_sources_are_of_the_prefix(topology, mode):
    """In place of the local addresses, and as many of it as there are flows."""
    backend = topology.backends[0]
    mode.apply(topology, [backend], tunnel={"source_prefixes": SOURCE_PREFIXES})
    with Capture(backend.namespace, "eth0", filter_of(mode)) as capture:
        for _ in range(CONNECTIONS):
            traffic.fetch(topology, mode.vip)
    sources = {outer_of(packet, mode).src for packet in capture.packets()}
    prefix = next(prefix for prefix in map(ipaddress.ip_network, SOURCE_PREFIXES)
                  if prefix.version == mode.backend_family)
    assert len(sources) > CONNECTIONS / 2
    assert all(ipaddress.ip_address(source) in prefix for source in sources), sources


@each_of(*(mode for mode in TUNNEL if mode.encapsulation == "ipip"))
def test_a_backend_has_its_own_encapsulation(topology, mode):
    """Two backends of one service: what arrives at each is wrapped its way, and no other."""
    as_service, own = topology.backends[:2]
    gue = dataclasses.replace(mode, encapsulation="gue")
    mode.apply(topology, [as_service, own], scheduler="round_robin",
               tunnel={"gue_port": GUE_PORT},
               backend_settings={mode.address_of(own): "encapsulation: gue"})
    either = f"({filter_of(mode)}) or ({filter_of(gue)})"
    with Capture(as_service.namespace, "eth0", either) as at_as_service, \
         Capture(own.namespace, "eth0", either) as at_own:
        met = [traffic.answering_backend(topology, mode.vip) for _ in range(4)]
        for capture in (at_as_service, at_own):
            capture.wait_for(lambda packets: packets)
    assert met.count(as_service) == met.count(own) == 2
    for capture, how in ((at_as_service, mode), (at_own, gue)):
        for packet in capture.packets():
            assert outer_of(packet, how).haslayer(UDP) == (how is gue)
            inner = inner_of(packet, how)
            assert (inner.src, inner.dst) == (mode.client_address, mode.vip)


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
