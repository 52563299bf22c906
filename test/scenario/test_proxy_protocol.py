# SPDX-License-Identifier: Apache-2.0
"""PROXY headers before the client's bytes, read by nginx, HAProxy and small servers."""

import concurrent.futures
import contextlib
import hashlib
import os
import socket

import proxy_receivers
import pytest
import traffic
from capture import Capture
from proxy_receivers import DATAGRAM_PORT, GREETING_PORT, HAPROXY_PORT
from scapy.layers.inet import TCP
from topology import network, services
from topology.backend import PROXY_PORT
from topology.shell import wait_until

FAMILIES = pytest.mark.parametrize("family", (4, 6))
RECEIVERS = pytest.mark.parametrize("receiver", ("nginx", "haproxy"))
VIP = {4: network.VIP_IPV4, 6: network.VIP_IPV6}
CLIENT = {4: network.CLIENT_IPV4, 6: network.CLIENT_IPV6}
HEADER_BYTES = {4: 28, 6: 52}
TRANSFER_BYTES = 10_000_000
LOSS_PERCENT = 3
GREETINGS = 40
LIMIT_S = 60  # enough for several losses of the same segment


def apply(topology, family, backend, backend_port, protocol="tcp", more="", **settings):
    topology.box.apply(services.state(services.service(
        "proxied", VIP[family], [backend.ipv4 if family == 4 else backend.ipv6],
        backend_port=backend_port, protocol=protocol,
        client_address=f"{{carrier: proxy_v2{more}}}", **settings)))


@contextlib.contextmanager
def receiving(topology, receiver, backend=None):
    """The port of the receiver on the backend, as long as it runs."""
    if receiver == "nginx":
        yield PROXY_PORT
    else:
        with proxy_receivers.haproxy(backend or topology.backends[0]):
            yield HAPROXY_PORT


@contextlib.contextmanager
def loss(*namespaces, percent=LOSS_PERCENT):
    """What arrives at the hosts is lost at random. (netfilter, for not every kernel has netem.)"""
    rules = ("table inet loss { chain arriving { type filter hook input priority 0; "
             f"meta l4proto tcp numgen random mod 100 < {percent} counter drop; }}; }}\n")
    for namespace in namespaces:
        namespace.run(["nft", "-f", "-"], stdin=rules)
    try:
        yield
        for namespace in namespaces:
            assert "counter packets 0" not in namespace.run(["nft", "list", "ruleset"]).stdout
    finally:
        for namespace in namespaces:
            namespace.run(["nft", "delete", "table", "inet", "loss"])


@FAMILIES
@RECEIVERS
def test_the_client_is_shown(topology, receiver, family):
    backend = topology.backends[0]
    with receiving(topology, receiver) as port:
        apply(topology, family, backend, port)
        seen = topology.client.run(
            ["curl", "-sS", "--globoff", "--fail", "--max-time", "5",
             "-w", " %{local_port}", traffic.url(VIP[family])]).stdout.split()
    local_port = seen.pop()
    assert seen == [backend.name, CLIENT[family], local_port, VIP[family]]


@FAMILIES
def test_nginx_logs_the_client(topology, family):
    apply(topology, family, topology.backends[0], PROXY_PORT)
    assert traffic.logged_client_address(topology, VIP[family]) == CLIENT[family]


@FAMILIES
def test_many_requests(topology, family):
    """On connections that stay and on new ones."""
    apply(topology, family, topology.backends[0], PROXY_PORT)
    for close in (False, True):
        count = traffic.wrk(topology, VIP[family], 1000, close=close)
        traffic.assert_no_failed_request(count, 1000)


@FAMILIES
@RECEIVERS
@pytest.mark.parametrize("lossy", (False, True), ids=("whole", "lossy"))
def test_transfers_are_byte_exact(topology, receiver, family, lossy):
    backend = topology.backends[0]
    content = os.urandom(TRANSFER_BYTES)
    (topology.files / "transfer").write_bytes(content)
    hosts = (topology.client, backend.namespace) if lossy else ()
    with receiving(topology, receiver) as port:
        apply(topology, family, backend, port)
        traffic.fetch(topology, VIP[family])
        with loss(*hosts):
            got = traffic.downloaded_sha256(topology, VIP[family], "/files/transfer", LIMIT_S)
            stored = upload(topology, backend, VIP[family], content)
    assert got == hashlib.sha256(content).hexdigest()
    assert stored == content


def upload(topology, backend, vip, content):
    """The client sends it; what the backend stored."""
    source = topology.directory / "upload"
    source.write_bytes(content)
    stored = backend.directory / "upload" / "proxied"
    stored.unlink(missing_ok=True)
    topology.client.run(["curl", "-sS", "--globoff", "--fail", "--max-time", LIMIT_S,
                         "-H", "Expect:", "-T", source, traffic.url(vip, "/upload/proxied")])
    wait_until(stored.exists, "the upload is stored")
    return stored.read_bytes()


@FAMILIES
def test_path_mtu_of_an_upload(topology, family):
    """Behind the box a narrow link, whose router tells the client what fits."""
    far = topology.far
    apply(topology, family, far, PROXY_PORT)
    content = os.urandom(TRANSFER_BYTES)
    assert upload(topology, far, VIP[family], content) == content
    learnt = topology.client.run(["ip", "route", "get", VIP[family]]).stdout
    least = network.NARROW_MTU - HEADER_BYTES[family]
    assert f"mtu {network.NARROW_MTU} " in learnt or f"mtu {least} " in learnt, learnt


@FAMILIES
@pytest.mark.parametrize("percent", (0, 10), ids=("whole", "lossy"))
def test_a_server_that_speaks_first(topology, family, percent):
    """It waits for the header, the client for the server: a lost header must come again."""
    backend = topology.backends[0]
    apply(topology, family, backend, GREETING_PORT)
    hosts = (topology.client, backend.namespace) if percent else ()
    with proxy_receivers.GreetingServer(backend, family), loss(*hosts, percent=percent), \
            concurrent.futures.ThreadPoolExecutor(GREETINGS) as threads:
        sockets = [tcp_client(topology, family) for _ in range(GREETINGS)]
        answers = list(threads.map(lambda tcp: greeted(tcp, VIP[family]), sockets))
    for own_port, greeting, echo in answers:
        assert greeting == f"{CLIENT[family]} {own_port} {VIP[family]} 80"
        assert echo == b"thank you"


def tcp_client(topology, family):
    return topology.client.socket(socket.AF_INET if family == 4 else socket.AF_INET6,
                                  socket.SOCK_STREAM)


def greeted(tcp, vip):
    with tcp:
        tcp.settimeout(LIMIT_S)
        tcp.connect((vip, 80))
        with tcp.makefile("rb") as stream:
            greeting = stream.readline().decode().strip()
            tcp.sendall(b"thank you")
            tcp.shutdown(socket.SHUT_WR)
            return tcp.getsockname()[1], greeting, stream.read()


@FAMILIES
@pytest.mark.parametrize("where", ("every", "first"))
def test_datagrams(topology, family, where):
    backend = topology.backends[0]
    apply(topology, family, backend, DATAGRAM_PORT, "udp", f", proxy_v2_udp: {where}")
    with proxy_receivers.DatagramServer(backend, family), \
            topology.client.socket(socket.AF_INET if family == 4 else socket.AF_INET6,
                                   socket.SOCK_DGRAM) as udp:
        udp.connect((VIP[family], 80))
        own_port = udp.getsockname()[1]
        header = f"{CLIENT[family]} {own_port} {VIP[family]} 80 ".encode()
        for number in range(5):
            payload = os.urandom(number * 100)
            # Only the first may meet a neighbour that is not known yet, and then opens no session.
            answer = asked(udp, payload) if number else wait_until(
                lambda: asked(udp, payload), "the backend answers")  # pylint: disable=W0640
            with_header = where == "every" or number == 0
            assert answer == (header if with_header else b"none ") + payload


def asked(udp, payload):
    udp.settimeout(1)
    udp.send(payload)
    with contextlib.suppress(TimeoutError):
        return udp.recv(65536)
    return None


@FAMILIES
@RECEIVERS
@pytest.mark.parametrize("check", (services.HTTP_CHECK, services.TCP_CHECK), ids=("http", "tcp"))
def test_health_checks_begin_with_a_header(topology, receiver, family, check):
    """A backend that takes nothing without one is up by both kinds of check."""
    backend = topology.backends[0]
    with receiving(topology, receiver) as port:
        apply(topology, family, backend, port, health_check=check)
        wait_until(topology.box.all_backends_up, "the backend is up")
        traffic.fetch(topology, VIP[family])


@FAMILIES
def test_the_client_never_sees_the_seam(topology, family):
    """On its side of the box, what it sent is acknowledged, no more and no less."""
    backend = topology.backends[0]
    apply(topology, family, backend, PROXY_PORT)
    with Capture(topology.client, "client0", "tcp port 80") as at_client, \
            Capture(backend.namespace, "eth0", f"tcp port {PROXY_PORT}") as at_backend:
        traffic.fetch(topology, VIP[family])
        at_client.wait_for_end_of_connection()
        at_backend.wait_for_end_of_connection()
    sent = [p[TCP] for p in at_client.packets() if p[TCP].dport == 80]
    received = [p[TCP] for p in at_client.packets() if p[TCP].sport == 80]
    isn, last = sent[0].seq, sent[-1].seq
    acknowledged = [(p.ack - isn) % 2 ** 32 for p in received]
    assert min(acknowledged) == 1 and max(acknowledged) == (last - isn) % 2 ** 32
    to_backend = [p[TCP] for p in at_backend.packets() if p[TCP].dport == PROXY_PORT]
    assert (to_backend[-1].seq - to_backend[0].seq) % 2 ** 32 == (
        (last - isn) % 2 ** 32 + HEADER_BYTES[family])
    handshake_ack = bytes(to_backend[1].payload)
    assert proxy_receivers.parse_header(handshake_ack, proxy_receivers.STREAM) == (
        (CLIENT[family], sent[0].sport), (VIP[family], 80), b"")
