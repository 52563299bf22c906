# SPDX-License-Identifier: Apache-2.0
"""Outbound gateways: hosts behind the box speak to servers outside, which see an outside address."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import re
import socket
import subprocess

import pytest
import traffic
from servers import DNS_NAME, dns_servers, iperf_server
from topology import network, services
from topology.shell import wait_until

REQUESTS = 1000
DNS_PORT = 53
IPERF_PORT = 5201
TRANSFER_LIMIT_S = 20
SILENCE_S = 0.5
ALL_BOXES = pytest.mark.boxes("af_packet", "af_xdp", "one_arm")

INSIDE_PREFIXES = ["10.0.2.0/24", "10.0.3.0/24", "fd00:2::/64", "fd00:3::/64"]
OUTSIDE_ADDRESSES = [network.OUTSIDE_IPV4, network.OUTSIDE_IPV6]


@dataclasses.dataclass(frozen=True)
class Family:
    version: int
    outside: str
    client: str
    edge: str
    remote: str
    socket_family: int

    def __str__(self):
        return f"ipv{self.version}"

    def address_of(self, backend):
        return backend.ipv4 if self.version == 4 else backend.ipv6


EACH_FAMILY = pytest.mark.parametrize("family", (
    Family(4, network.OUTSIDE_IPV4, network.CLIENT_IPV4, "10.0.1.60", network.REMOTE_IPV4,
           socket.AF_INET),
    Family(6, network.OUTSIDE_IPV6, network.CLIENT_IPV6, "fd00:1::60", network.REMOTE_IPV6,
           socket.AF_INET6)), ids=str)


def gateway_state(*more_services, **settings):
    return services.state(*more_services, gateways=[
        services.gateway("office", INSIDE_PREFIXES, OUTSIDE_ADDRESSES, **settings)])


@pytest.fixture(name="outside", scope="module")
def fixture_outside(topology):
    """A server on the client's node."""
    with topology.server_in(topology.client, "outside", network.CLIENT_IPV4,
                            network.CLIENT_IPV6) as server:
        yield server


@pytest.fixture(autouse=True)
def the_box_is_the_gateway(topology):
    topology.prepare_for("snat")
    topology.box.apply(gateway_state())


def get_to_know(topology, family):
    """A packet to a neighbour that is not known yet is lost, and makes it known."""
    for backend in topology.backends:
        backend.namespace.run(["ping", "-n", "-c", 2, "-i", 0.2, "-W", 1, family.client],
                              check=False)


def answer(host, address):
    """One request from the host; (server's name, the address that it was asked from)."""
    return tuple(host.run(["curl", "-sS", "--globoff", "--fail", "--max-time", 5,
                           traffic.url(address)]).stdout.split())


@ALL_BOXES
@EACH_FAMILY
def test_servers_see_the_outside_address(topology, outside, family):
    for backend in topology.backends:
        assert answer(backend.namespace, family.client) == (outside.name, family.outside)


@EACH_FAMILY
def test_many_connections(topology, outside, family):
    count = traffic.wrk(topology, family.address_of(outside), REQUESTS, close=True,
                        host=topology.backends[0].namespace)
    traffic.assert_no_failed_request(count, REQUESTS)


@EACH_FAMILY
def test_dns(topology, outside, family):
    with dns_servers([outside], DNS_PORT) as running:
        for backend in topology.backends:
            result = backend.namespace.run(["dig", f"@{family.client}", "-p", DNS_PORT, "+short",
                                            "+tries=3", "+time=1", "TXT", DNS_NAME])
            assert result.stdout.strip().strip('"') == outside.name
        askers = set(re.findall(r"query\S+ \S+ from (\S+)", running[outside.name].log))
        assert askers == {family.outside}


@EACH_FAMILY
def test_iperf3(topology, outside, family):
    """UDP out and in."""
    command = ["iperf3", "-c", family.client, "-p", IPERF_PORT, "-u", "-l", 1200, "-b", "20M",
               "-t", 1, "--json"]
    with iperf_server(outside, family.client, IPERF_PORT):
        for direction in ([], ["-R"]):

            def report(options=direction):
                result = json.loads(topology.backends[0].namespace.run(
                    command + options, check=False, timeout_s=30).stdout)
                error = result.get("error", "")
                assert not error or "busy" in error, error
                return None if error else result

            end = wait_until(report, "the server takes the test")["end"]["sum"]
            assert end["packets"] > 1000, end
            assert end["lost_percent"] <= 2, end


@ALL_BOXES
@EACH_FAMILY
@pytest.mark.parametrize("bytes_", (56, 4000))
def test_ping(topology, family, bytes_):
    """Whole and in fragments; every host gets its own answers, and the kernel of the box none."""
    get_to_know(topology, family)
    for backend in topology.backends:
        output = backend.namespace.run(["ping", "-n", "-c", 5, "-i", 0.05, "-W", 2, "-s", bytes_,
                                        family.client]).stdout
        assert "5 received" in output and "DUP" not in output, output


@EACH_FAMILY
def test_pings_side_by_side(topology, family):
    """One identifier on all hosts: only the box can tell their answers apart."""
    get_to_know(topology, family)
    with contextlib.ExitStack() as stack:
        pings = [stack.enter_context(subprocess.Popen(
            backend.namespace.enter(["ping", "-n", "-e", "77", "-c", "20", "-i", "0.05", "-W", "2",
                                     family.client]), stdout=subprocess.PIPE, text=True))
                 for backend in topology.backends]
        for ping in pings:
            output = ping.communicate(timeout=20)[0]
            assert "20 received" in output and "DUP" not in output, output


@EACH_FAMILY
def test_routers_on_the_way_are_seen(topology, family):
    """What traceroute lives by: the TTL runs out at the box, and at a router outside."""
    first = topology.backends[0].namespace.run(
        ["ping", "-n", "-c", 1, "-t", 1, "-W", 2, family.remote], check=False).stdout
    assert re.search("[Tt]ime (to live )?exceeded", first), first
    second = topology.backends[0].namespace.run(
        ["ping", "-n", "-c", 1, "-t", 2, "-W", 2, family.remote], check=False).stdout
    assert f"From {family.edge}" in second, second


@EACH_FAMILY
def test_hosts_inside_can_still_be_reached(topology, outside, family):
    """What comes in by the box's routes is answered untranslated, as without a gateway."""
    del outside
    via = ["via", "10.0.1.1" if family.version == 4 else "fd00:1::1"]
    prefix = "10.0.2.0/24" if family.version == 4 else "fd00:2::/64"
    topology.client.run(["ip", "route", "replace", prefix, *via])
    try:
        backend = topology.backends[0]
        assert answer(topology.client, family.address_of(backend)) == (backend.name, family.client)
    finally:
        topology.client.run(["ip", "route", "del", prefix])


# --- path MTU ----------------------------------------------------------------------------------


@pytest.fixture
def nothing_learnt(topology):
    yield
    network.forget_path_mtus(topology.client, topology.remote,
                             *(backend.namespace for backend in topology.every_backend))


@EACH_FAMILY
@pytest.mark.usefixtures("nothing_learnt")
def test_narrow_link_in_front(topology, family, content):
    """The inside host uploads over a link that only a router outside tells of."""
    host = topology.backends[0].namespace
    with topology.server_in(topology.remote, f"remote-{family}", network.REMOTE_IPV4,
                            network.REMOTE_IPV6) as server:
        source, stored = topology.directory / "snat-upload", server.directory / "upload" / "content"
        source.write_bytes(content)
        host.run(["curl", "-sS", "--globoff", "--fail", "--max-time", TRANSFER_LIMIT_S, "-H",
                  "Expect:", "-T", source, traffic.url(family.remote, "/upload/content")])
        wait_until(stored.exists, "the upload is stored")
        assert stored.read_bytes() == content
        assert network.path_mtu(host, family.remote) == network.NARROW_MTU


@EACH_FAMILY
@pytest.mark.usefixtures("nothing_learnt")
def test_narrow_link_behind(topology, outside, family, content):
    """The server outside learns of the link to the inside host."""
    (topology.files / "download").write_bytes(content)
    result = topology.far.namespace.run(
        ["bash", "-c", f"set -o pipefail; curl -sS -g --fail --max-time {TRANSFER_LIMIT_S} "
                       f"'{traffic.url(family.client, '/files/download')}' | sha256sum"])
    assert result.stdout.split()[0] == hashlib.sha256(content).hexdigest()
    assert network.path_mtu(outside.namespace, family.outside) == network.NARROW_MTU


# --- mappings of UDP ---------------------------------------------------------------------------


_ports = itertools.count(5000)


@pytest.fixture(name="bound")
def fixture_bound(family):
    """bound(namespace, address): a UDP socket there, on a port that no test has used before (its
    sessions would still be known)."""
    with contextlib.ExitStack() as stack:

        def make(namespace, address):
            made = stack.enter_context(namespace.socket(family.socket_family, socket.SOCK_DGRAM))
            made.bind((address, next(_ports)))
            made.settimeout(2)
            return made

        yield make


def ask(asker, server):
    """A datagram to the server's socket, again until one arrives (a neighbour may have to be found
    first): the address and port that it came from."""
    server.settimeout(0.3)
    for _ in range(10):
        asker.sendto(b"question", server.getsockname()[:2])
        try:
            return server.recvfrom(100)[1][:2]
        except TimeoutError:
            continue
    raise AssertionError("nothing arrived")


def _endpoint(of_socket):
    address, port = of_socket.getsockname()[:2]
    return {"address": address, "port": port}


def is_silent(listener):
    listener.settimeout(SILENCE_S)
    try:
        return listener.recvfrom(100) is None
    except TimeoutError:
        return True


@EACH_FAMILY
def test_only_who_was_asked_gets_in(topology, family, bound):
    inside = bound(topology.backends[0].namespace, family.address_of(topology.backends[0]))
    asked, other = (bound(topology.client, family.client) for _ in range(2))
    endpoint = ask(inside, asked)
    assert endpoint[0] == family.outside
    other.sendto(b"unasked", endpoint)
    assert is_silent(inside)
    asked.sendto(b"answer", endpoint)
    assert inside.recvfrom(100)[0] == b"answer"


@EACH_FAMILY
def test_endpoint_independent_mapping(topology, family, bound):
    topology.box.apply(gateway_state(udp_mapping="endpoint_independent"))
    inside = bound(topology.backends[0].namespace, family.address_of(topology.backends[0]))
    servers = [bound(topology.client, family.client) for _ in range(2)]
    endpoint, same = (ask(inside, server) for server in servers)
    assert endpoint == same and endpoint[0] == family.outside
    stranger = bound(topology.client, family.client)
    stranger.sendto(b"unasked", endpoint)
    assert inside.recvfrom(100) == (b"unasked", stranger.getsockname())


@EACH_FAMILY
def test_inside_hosts_meet_by_outside_endpoints(topology, family, bound):
    topology.box.apply(gateway_state(udp_mapping="endpoint_independent"))
    first, second = (bound(backend.namespace, family.address_of(backend))
                     for backend in topology.backends[:2])
    server = bound(topology.client, family.client)
    endpoints = [ask(host, server) for host in (first, second)]
    first.sendto(b"hello", endpoints[1])
    assert second.recvfrom(100)[1][:2] == endpoints[0]
    second.sendto(b"welcome", endpoints[0])
    content, sender = first.recvfrom(100)
    assert (content, sender[:2]) == (b"welcome", endpoints[1])


# --- what is told ------------------------------------------------------------------------------


@EACH_FAMILY
def test_sessions_lookup_and_counters(topology, family, bound):
    box = topology.box
    inside = bound(topology.backends[0].namespace, family.address_of(topology.backends[0]))
    server = bound(topology.client, family.client)
    endpoint = ask(inside, server)
    session = next(s for s in box.ctl_json("session", "list", "--service", "office")["sessions"]
                   if s["client"] == _endpoint(inside))
    assert session["virtual"] == _endpoint(server)
    assert session["local"] == {"address": family.outside, "port": endpoint[1]}
    texts = [f"[{address}]:{port}" if family.version == 6 else f"{address}:{port}"
             for address, port in (inside.getsockname()[:2], server.getsockname()[:2])]
    found = box.ctl_json("lookup", "udp", *texts)
    assert (found["service"], found["verdict"]) == ("office", "forwarded")
    assert found["session"]["local"] == session["local"]
    gateway = box.ctl_json("gateway", "show", "office")
    counters = json.dumps(gateway)
    assert "to_outside" in counters and "sessions_active" in counters, counters
    metrics = box.metrics()
    assert re.search(r'steelyard_outbound_gateway_packets_total\{[^}]*to_outside[^}]*\} [1-9]',
                     metrics), metrics


def test_an_outside_address_must_be_the_boxes(topology):
    state = services.state(gateways=[
        services.gateway("office", ["10.0.2.0/24"], ["10.0.1.200"])])
    path = topology.directory / "foreign.yaml"
    path.write_text(state)
    result = topology.box.ctl("apply", "-f", path, check=False)
    assert result.returncode == 1
    assert "10.0.1.200" in result.stderr, result.stderr
