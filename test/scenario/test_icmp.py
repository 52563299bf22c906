# SPDX-License-Identifier: Apache-2.0
"""ICMP errors find their way back through the translation. (Path MTUs: test_path_mtu.py.)"""

import socket
import struct

import pytest
from topology import network, services
from topology.shell import wait_until

CLOSED_PORT = 9999
IPV4_HEADER, IPV6_HEADER, UDP_HEADER = 20, 40, 8
ICMP_UNREACHABLE, ICMP_PORT = 3, 3
ICMPV6_UNREACHABLE, ICMPV6_PORT = 1, 4


def quoted_ipv4(message):
    """(type, code, source, destination, source port, destination port) of an IPv4 ICMP error."""
    icmp = message[IPV4_HEADER:]
    inner = icmp[8:]
    ports = struct.unpack("!HH", inner[IPV4_HEADER:IPV4_HEADER + 4])
    return (icmp[0], icmp[1], socket.inet_ntoa(inner[12:16]), socket.inet_ntoa(inner[16:20]),
            *ports)


def quoted_ipv6(message):
    """The same; a raw IPv6 socket delivers no outer header."""
    inner = message[8:]
    ports = struct.unpack("!HH", inner[IPV6_HEADER:IPV6_HEADER + 4])
    return (message[0], message[1], socket.inet_ntop(socket.AF_INET6, inner[8:24]),
            socket.inet_ntop(socket.AF_INET6, inner[24:40]), *ports)


@pytest.mark.boxes("af_packet", "one_arm")
@pytest.mark.parametrize("family", (4, 6))
def test_closed_udp_port(topology, family):
    """The client gets the backend's port unreachable, and the packet it quotes is the client's."""
    vip = {4: network.VIP_IPV4, 6: network.VIP_IPV6}[family]
    backend = topology.backends[0]
    topology.box.apply(services.state(services.service(
        "closed", vip, [backend.ipv4 if family == 4 else backend.ipv6], port=CLOSED_PORT,
        protocol="udp")))
    inet, protocol = ((socket.AF_INET, socket.IPPROTO_ICMP) if family == 4 else
                      (socket.AF_INET6, socket.IPPROTO_ICMPV6))
    with topology.client.socket(inet, socket.SOCK_RAW, protocol) as errors, \
         topology.client.socket(inet, socket.SOCK_DGRAM) as udp:
        udp.connect((vip, CLOSED_PORT))
        udp.settimeout(0.2)
        wait_until(lambda: is_refused(udp), "the client's socket is told", timeout_s=3)
        expected = (*((ICMP_UNREACHABLE, ICMP_PORT) if family == 4 else
                      (ICMPV6_UNREACHABLE, ICMPV6_PORT)),
                    *udp.getsockname()[:1], vip, udp.getsockname()[1], CLOSED_PORT)
        errors.setblocking(False)
        assert expected in received_errors(errors, quoted_ipv4 if family == 4 else quoted_ipv6)


def is_refused(udp):
    """Asks again each time: a first packet may be lost while the backend's neighbour resolves."""
    try:
        udp.send(b"anyone there?")
        udp.recv(1)
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    raise AssertionError("a closed port answered")


def received_errors(errors, decode):
    found = []
    while True:
        try:
            message = errors.recv(4096)
        except BlockingIOError:
            return found
        if len(message) >= IPV6_HEADER + UDP_HEADER + 8:
            found.append(decode(message))
