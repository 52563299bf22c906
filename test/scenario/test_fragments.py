# SPDX-License-Identifier: Apache-2.0
"""Datagrams larger than the links, between real kernels: what one cuts the box puts together, and
what the box cuts the other puts together. And a flood of fragments that never become whole."""

import hashlib
import socket
import struct

import pytest
from modes import Mode
from topology import network, services

PORT = 7000
LIMIT_S = 5
# One byte, one packet, the first with two fragments, many, and nearly what a datagram may hold.
SIZES = (1, 1000, 1500, 4096, 20_000, 60_000)
FLOOD_FRAGMENTS = 3000
FAMILIES = pytest.mark.parametrize("family", (4, 6))
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0  # linux/in.h
MORE_FRAGMENTS = 0x2000


def content(size, turn):
    return hashlib.shake_128(f"{size} {turn}".encode()).digest(size)


def counter(topology, name):
    return sum(int(worker[name])
               for worker in topology.box.ctl_json("stats")["counters"]["workers"])


def sockets(topology, backend, family, address):
    """A client's and a server's, the latter bound to address."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    client = topology.client.socket(kind, socket.SOCK_DGRAM)
    server = backend.namespace.socket(kind, socket.SOCK_DGRAM)
    server.bind((address, PORT))
    for each in (client, server):
        each.settimeout(LIMIT_S)
    return client, server


def warm(client, server, vip):
    """The first packets, there and back, may meet neighbours that are not known yet."""
    for attempt in range(10):
        request = b"warm %d" % attempt
        client.sendto(request, (vip, PORT))
        sender = _received(server, request)
        if sender:
            server.sendto(request, sender)
            if _received(client, request):
                return sender
    raise AssertionError("no datagram gets there and back")


def _received(at, content_):
    """Who the datagram came from; None if it did not come within a second."""
    at.settimeout(1)
    try:
        while True:
            arrived, sender = at.recvfrom(65535)
            if arrived == content_:
                return sender
    except TimeoutError:
        return None
    finally:
        at.settimeout(LIMIT_S)


@FAMILIES
def test_datagrams_of_every_size(topology, family):
    backend = topology.backends[0]
    vip, address = {4: (network.VIP_IPV4, backend.ipv4), 6: (network.VIP_IPV6, backend.ipv6)}[family]
    topology.box.apply(services.state(
        services.service("echo", vip, [address], port=PORT, protocol="udp")))
    before = counter(topology, "reassembled_packets"), counter(topology, "fragments_sent")
    client, server = sockets(topology, backend, family, address)
    with client, server:
        warm(client, server, vip)
        for size in SIZES:
            request, answer = content(size, "there"), content(size, "back")
            client.sendto(request, (vip, PORT))
            received, sender = server.recvfrom(65535)
            assert received == request, size
            server.sendto(answer, sender)
            assert client.recvfrom(65535)[0] == answer, size
    in_fragments = sum(size > 1472 for size in SIZES)
    assert counter(topology, "reassembled_packets") - before[0] == 2 * in_fragments
    assert counter(topology, "fragments_sent") - before[1] >= 4 * in_fragments


@pytest.mark.boxes("one_arm")
@pytest.mark.parametrize("mode", (Mode("tunnel", 4, 4, "ipip"), Mode("tunnel", 4, 6, "gue")), ids=str)
def test_without_df_a_large_packet_crosses_a_tunnel_in_fragments(topology, mode):
    """With its outer header it does not fit, and its sender lets it be cut (RFC 2003, RFC 2473)."""
    backend = topology.backends[0]
    topology.prepare_for(mode.name)
    topology.box.apply(services.state(mode.service("echo", [backend], port=PORT, protocol="udp")))
    client, server = sockets(topology, backend, 4, mode.vip)
    with client, server:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        warm(client, server, mode.vip)
        request = content(1472, "there")
        client.sendto(request, (mode.vip, PORT))
        assert server.recvfrom(65535)[0] == request


def test_a_flood_of_first_fragments_is_refused_and_counted(topology):
    """Room for a few datagrams of one source: the rest is refused, and others are still served."""
    backend = topology.backends[0]
    topology.box.apply(services.state(
        services.service("echo", network.VIP_IPV4, [backend.ipv4], port=PORT, protocol="udp")))
    before = refused(topology)
    # Of a neighbour of the client's, so that the client's own share stays its own.
    source = socket.inet_aton("10.0.1.3")
    with topology.client.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for number in range(FLOOD_FRAGMENTS):
            header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + 16, number, MORE_FRAGMENTS, 64,
                                 socket.IPPROTO_UDP, 0, source, socket.inet_aton(network.VIP_IPV4))
            raw.sendto(header + struct.pack("!HHHH", 4000, PORT, 3000, 0) + bytes(8),
                       (network.VIP_IPV4, 0))
    assert refused(topology) - before > FLOOD_FRAGMENTS / 2
    client, server = sockets(topology, backend, 4, backend.ipv4)
    with client, server:
        warm(client, server, network.VIP_IPV4)
        request = content(5000, "there")
        client.sendto(request, (network.VIP_IPV4, PORT))
        assert server.recvfrom(65535)[0] == request


def refused(topology):
    return sum(int(verdict["packets"])
               for worker in topology.box.ctl_json("stats")["counters"]["workers"]
               for verdict in worker["verdicts"] if verdict["name"] == "fragment_limit")
