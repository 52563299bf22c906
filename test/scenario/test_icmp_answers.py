# SPDX-License-Identifier: Apache-2.0
"""The box itself tells senders what does not go through it: packets larger than its way out, and
those whose TTL runs out. Kernels and scapy judge what it says."""

import contextlib
import errno
import hashlib
import os
import socket

import pytest
import traffic
from capture import Capture, ip_layer
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import IPv6, _ICMPv6
from topology import network, services
from topology.shell import wait_until

# Of a route of the box, below any link's. Path-MTU discovery must go on when a route that was wide
# becomes narrow, so segment sizes are not clamped to it.
ROUTE_MTU = 1290
LEAST_MTU = {4: 68, 6: 1280}
TOA_BYTES = {4: 8, 6: 20}
TRANSFER_BYTES = 10_000_000
FAR_PREFIX = {4: "10.0.3.0/24", 6: "fd00:3::/64"}
ROUTER = dict(zip((4, 6), (side.split("/")[0] for side in network.ROUTER_BACKEND_SIDE)))
VIP = {4: network.VIP_IPV4, 6: network.VIP_IPV6}
CLIENT = {4: network.CLIENT_IPV4, 6: network.CLIENT_IPV6}
LOCAL = {4: network.LOCAL_IPV4, 6: network.LOCAL_IPV6}
IP_RECVERR, IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
TIME_EXCEEDED = {4: (11, 0), 6: (3, 0)}


def address_of(backend, family):
    return backend.ipv4 if family == 4 else backend.ipv6


def icmp_errors_sent(topology):
    return sum(int(worker["icmp_errors_sent"])
               for worker in topology.box.ctl_json("stats")["counters"]["workers"])


@contextlib.contextmanager
def narrow_route(topology, command, undo):
    """A route of the box; what hosts have learnt from it is forgotten afterwards."""
    topology.box.namespace.ip(command)
    try:
        yield
    finally:
        topology.box.namespace.ip(undo)
        for host in (topology.client, *(b.namespace for b in topology.every_backend)):
            host.run(["ip", "route", "flush", "cache"])
            host.run(["ip", "-6", "route", "flush", "cache"])


@pytest.mark.parametrize("family", (4, 6))
def test_upload_over_a_narrow_route(topology, family):
    """The client's segments become as small as the box says, with room for what it adds."""
    far, vip = topology.far, VIP[family]
    route = f"{FAR_PREFIX[family]} via {ROUTER[family]} dev {topology.twin_of_backends}"
    name = f"narrow-upload{family}"
    source = topology.directory / name
    source.write_bytes(os.urandom(TRANSFER_BYTES))
    before = icmp_errors_sent(topology)
    with narrow_route(topology, f"route replace {route} mtu {ROUTE_MTU}", f"route replace {route}"):
        topology.box.apply(services.state(services.service(
            "far", vip, [address_of(far, family)])))
        topology.client.run(["curl", "-sS", "--globoff", "--fail", "--max-time", "20",
                             "-H", "Expect:", "-T", source, traffic.url(vip, f"/upload/{name}")])
        learnt = topology.client.run(["ip", "route", "get", vip]).stdout
    stored = far.directory / "upload" / name
    wait_until(stored.exists, "the upload is stored")
    assert stored.read_bytes() == source.read_bytes()
    told = max(ROUTE_MTU - TOA_BYTES[family], LEAST_MTU[family])
    assert f"mtu {told} " in learnt, learnt
    assert icmp_errors_sent(topology) > before


@pytest.mark.parametrize("family", (4, 6))
def test_download_over_a_narrow_route(topology, family):
    """The backend's segments do: it hears of it from the local address that it talks to."""
    backend = topology.backends[0]
    content = os.urandom(TRANSFER_BYTES)
    name = f"narrow-download{family}"
    (topology.files / name).write_bytes(content)
    route = f"{CLIENT[family]} dev {network.twin(0)}"
    before = icmp_errors_sent(topology)
    with narrow_route(topology, f"route add {route} mtu {ROUTE_MTU}", f"route del {route}"):
        topology.box.apply(services.state(services.service(
            "web", VIP[family], [address_of(backend, family)])))
        traffic.wait_for_answers(topology, VIP[family])
        digest = traffic.downloaded_sha256(topology, VIP[family], f"/files/{name}", limit_s=20)
        learnt = [backend.namespace.run(["ip", "route", "get", local]).stdout
                  for local in LOCAL[family]]
    assert digest == hashlib.sha256(content).hexdigest()
    assert any(f"mtu {ROUTE_MTU} " in route for route in learnt), learnt
    assert icmp_errors_sent(topology) > before


@pytest.mark.boxes("af_packet", "one_arm")
@pytest.mark.parametrize("family", (4, 6))
def test_time_exceeded(topology, family):
    """A SYN whose TTL ends at the box: the client's kernel believes the answer, and so does scapy."""
    vip = VIP[family]
    topology.box.apply(services.state(services.service(
        "web", vip, [address_of(topology.backends[0], family)])))
    traffic.wait_for_answers(topology, vip)
    inet, level, hops, errors = (
        (socket.AF_INET, socket.IPPROTO_IP, socket.IP_TTL, IP_RECVERR) if family == 4 else
        (socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, IPV6_RECVERR))
    with Capture(topology.client, "client0", f"host {vip}") as capture:
        with topology.client.socket(inet, socket.SOCK_STREAM) as tcp:
            tcp.setsockopt(level, hops, 1)
            tcp.setsockopt(level, errors, 1)
            tcp.settimeout(3)
            assert tcp.connect_ex((vip, 80)) == errno.EHOSTUNREACH
        capture.wait_for(lambda packets: any(is_icmp(p) for p in packets))
    syn = next(p for p in capture.packets() if p.haslayer(TCP))
    answer = next(p for p in capture.packets() if is_icmp(p))
    assert ip_layer(answer).src == vip and ip_layer(answer).dst == CLIENT[family]
    icmp = answer[ICMP] if family == 4 else answer[IPv6].payload
    assert (icmp.type, icmp.code) == TIME_EXCEEDED[family]
    assert bytes(icmp)[8:] == bytes(ip_layer(syn)), "the packet as the client sent it, whole"
    assert_right_checksums(answer)


def is_icmp(packet):
    """The outermost layer: the quoted packet is none of this one."""
    return isinstance(ip_layer(packet).payload, (ICMP, _ICMPv6))


def assert_right_checksums(packet):
    """They are what scapy computes where they are left out."""
    arrived = bytes(ip_layer(packet))
    computed = ip_layer(packet).copy()
    if isinstance(computed, IP):
        del computed.chksum
        del computed[ICMP].chksum
    else:
        del computed.payload.cksum
    assert bytes(computed) == arrived
