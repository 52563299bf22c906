# SPDX-License-Identifier: Apache-2.0
"""Clients of one address family and backends of the other, between kernels. (Path MTUs:
test_path_mtu.py; DNS, session list and lookup: test_modes.py.)"""

import socket

import pytest
import traffic
from modes import NAT64_NAT46, each_of
from servers import iperf_server
from test_fragments import LIMIT_S, SIZES, content
from test_icmp import is_refused
from test_modes import (IPERF_LOST_PERCENT, IPERF_PORT, IPERF_RATE, LOCAL_ADDRESSES,
                        iperf_report)
from topology import services
from topology.backend import DUAL_STACK_PORT, PROXY_PORT
from topology.shell import wait_until

REQUESTS = 2000
CLOSED_PORT = 9999
ECHO_PORT = 7000
BOTH_WAYS = each_of(*NAT64_NAT46)
ALL_BOXES = pytest.mark.boxes("af_packet", "af_xdp", "one_arm")


@ALL_BOXES
@BOTH_WAYS
def test_every_backend_answers(topology, mode):
    mode.apply(topology, scheduler="round_robin")
    asked = [traffic.answering_backend(topology, mode.vip).name
             for _ in range(2 * len(topology.backends))]
    assert sorted(asked) == sorted(2 * [backend.name for backend in topology.backends])


@BOTH_WAYS
@pytest.mark.parametrize("close", (False, True), ids=("keep-alive", "close"))
def test_many_requests(topology, mode, close):
    mode.apply(topology)
    count = traffic.wrk(topology, mode.vip, REQUESTS, close=close)
    traffic.assert_no_failed_request(count, REQUESTS)


@BOTH_WAYS
def test_large_download(topology, mode, large_file):
    path, digest = large_file
    link = topology.files / "large"
    if not link.is_symlink():
        link.symlink_to(path)
    mode.apply(topology)
    assert traffic.downloaded_sha256(topology, mode.vip, "/files/large") == digest


@BOTH_WAYS
def test_toa_on_a_dual_stack_listener(topology, mode):
    """It can show both families, on connections of either."""
    mode.apply(topology, port=DUAL_STACK_PORT, client_address="{carrier: toa}")
    topology.attach_toa()
    shown = mode.client_address if mode.family == 6 else f"::ffff:{mode.client_address}"
    for _ in topology.backends:
        assert traffic.logged_client_address(topology, mode.vip, DUAL_STACK_PORT) == shown


@BOTH_WAYS
def test_toa_on_a_listener_of_the_backends_family(topology, mode):
    """An IPv4 socket has no way to show an IPv6 client, and says whom it really speaks to."""
    mode.apply(topology, client_address="{carrier: toa}")
    topology.attach_toa()
    logged = traffic.logged_client_address(topology, mode.vip)
    if mode.family == 4:
        assert logged == f"::ffff:{mode.client_address}"
    else:
        assert logged in LOCAL_ADDRESSES[mode.backend_family]


@BOTH_WAYS
def test_proxy_header_tells_the_clients_flow(topology, mode):
    mode.apply(topology, port=PROXY_PORT, client_address="{carrier: proxy_v2}")
    words = traffic.fetch(topology, mode.vip, port=PROXY_PORT).stdout.split()
    assert words[1] == mode.client_address and words[3] == mode.vip, words


@BOTH_WAYS
def test_udp_both_ways(topology, mode):
    backend = topology.backends[0]
    topology.prepare_for(mode.name)
    topology.box.apply(services.state(
        mode.service("control", [backend], port=IPERF_PORT),
        mode.service("data", [backend], port=IPERF_PORT, protocol="udp")))
    command = ["iperf3", "-c", mode.vip, "-p", IPERF_PORT, "-u", "-l", 1200, "-b", IPERF_RATE,
               "-t", 1, "--json"]
    with iperf_server(backend, mode.address_of(backend), IPERF_PORT):
        for direction in ([], ["-R"]):
            end = iperf_report(topology, command + direction)["end"]["sum"]
            assert end["packets"] > 1000, end
            assert end["lost_percent"] <= IPERF_LOST_PERCENT, end


@BOTH_WAYS
def test_datagrams_of_every_size(topology, mode):
    """Those that come in fragments leave in fragments of the other family."""
    backend = topology.backends[0]
    mode.apply(topology, [backend], port=ECHO_PORT, protocol="udp")
    inet = {4: socket.AF_INET, 6: socket.AF_INET6}
    with topology.client.socket(inet[mode.family], socket.SOCK_DGRAM) as client, \
         backend.namespace.socket(inet[mode.backend_family], socket.SOCK_DGRAM) as server:
        server.bind((mode.address_of(backend), ECHO_PORT))
        client.connect((mode.vip, ECHO_PORT))
        wait_until(lambda: echoed(client, server, b"warm", b"warm", 0.5), "both ways are warm")
        for size in SIZES:
            assert echoed(client, server, content(size, "there"), content(size, "back")), size


def echoed(client, server, request, answer, limit_s=LIMIT_S):
    """Whether both arrived. A first packet may be lost while a neighbour resolves."""
    client.settimeout(limit_s)
    server.settimeout(limit_s)
    try:
        client.send(request)
        received, sender = server.recvfrom(65535)
        assert received == request
        server.sendto(answer, sender)
        return client.recv(65535) == answer
    except TimeoutError:
        return False


@BOTH_WAYS
def test_closed_udp_port(topology, mode):
    """The backend's port unreachable, in the client's family, reaches the client's socket."""
    mode.apply(topology, topology.backends[:1], port=CLOSED_PORT, protocol="udp")
    family = socket.AF_INET if mode.family == 4 else socket.AF_INET6
    with topology.client.socket(family, socket.SOCK_DGRAM) as udp:
        udp.connect((mode.vip, CLOSED_PORT))
        udp.settimeout(0.2)
        wait_until(lambda: is_refused(udp), "the client's socket is told", timeout_s=3)
