# SPDX-License-Identifier: Apache-2.0
"""What comes while the worker does not poll waits in its port, as many as the driver advises."""

import signal
import socket

import pytest
from topology import network, services

PORT = 5300
DATAGRAMS = 1900  # rings of both drivers take 2048
ROOM_BYTES = 8 << 20  # the kernel accounts for far more than a datagram's content
LIMIT_S = 5
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>; Python has no name for it


def received(server):
    """How many datagrams come until none does for a while."""
    count = 0
    try:
        while count < DATAGRAMS:
            server.recv(64)
            count += 1
    except TimeoutError:
        pass
    return count


@pytest.mark.boxes("af_packet", "af_xdp")
def test_a_burst_waits_for_the_worker(topology):
    backend = topology.backends[0]
    topology.box.apply(services.state(services.service(
        "burst", network.VIP_IPV4, [backend.ipv4], port=PORT, protocol="udp")))
    with topology.client.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, \
         backend.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM_BYTES)
        server.settimeout(LIMIT_S)
        server.bind((backend.ipv4, PORT))
        client.connect((network.VIP_IPV4, PORT))
        client.send(b"the session is open")
        server.recv(64)
        topology.box.dataplane.signal(signal.SIGSTOP)
        try:
            for _ in range(DATAGRAMS):
                client.send(b"later")
        finally:
            topology.box.dataplane.signal(signal.SIGCONT)
        assert received(server) == DATAGRAMS
