# SPDX-License-Identifier: Apache-2.0
"""Every mode on ports of several kinds with several workers: transfers come whole, each session is at
one worker, and no worker forwards a packet of another's (conftest.py asserts it after every test)."""

import hashlib
import os

import pytest
import traffic
from conftest import MANY_WORKERS
from modes import DIRECT, DNAT, FULL_NAT, TUNNEL, Mode, each_of
from topology import network, services

CONNECTIONS = 12
FILE_BYTES = 256 * 1024
ALL = pytest.mark.boxes(*("-".join(map(str, box)) for box in MANY_WORKERS))
GUE = [mode for mode in TUNNEL if mode.encapsulation == "gue"]
MODES = each_of(*FULL_NAT, *DNAT, *DIRECT, TUNNEL[0], TUNNEL[3], GUE[1], GUE[2])


@pytest.fixture(name="content", scope="module")
def fixture_content(tmp_path_factory):
    """SHA-256 of the noise that every backend has as /files/noise."""
    return os.urandom(FILE_BYTES)


@pytest.fixture(name="digest")
def fixture_digest(topology, content):
    (topology.files / "noise").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def downloads(asker, address):
    """Digests of as many downloads at once, each by a connection of its own."""
    script = (f"for i in $(seq {CONNECTIONS}); do curl -sS -g --fail --max-time 40 "
              f"'{traffic.url(address, '/files/noise')}' | sha256sum & done; wait")
    return [line.split()[0] for line in
            asker.run(["bash", "-c", script], timeout_s=60).stdout.splitlines()]


def counters(topology, name):
    return [int(worker[name]) for worker in topology.box.ctl_json("stats")["counters"]["workers"]]


def report_handoff(topology, record_property):
    """The share of packets that had arrived at another worker than theirs."""
    received = sum(counters(topology, "received_packets"))
    share = sum(counters(topology, "handoff_sent_packets")) / max(received, 1)
    record_property("handoff_share", f"{share:.2f}")
    print(f"handoff share {share:.0%} of {received} packets")
    return share


def assert_sessions_are_at_one_worker(topology):
    sessions = topology.box.ctl_json("session", "list")["sessions"]
    keys = [(s["service"], str(s["client"]), str(s.get("vip", s.get("backend")))) for s in sessions]
    assert len(set(keys)) == len(keys), sorted(keys)
    return sessions


@ALL
@MODES
def test_transfers(topology, mode, digest, record_property):
    mode.apply(topology)
    traffic.wait_for_answers(topology, mode.vip)
    assert downloads(topology.client, mode.vip) == CONNECTIONS * [digest]
    sessions = assert_sessions_are_at_one_worker(topology)
    workers = len(counters(topology, "received_packets"))
    assert workers == 1 or len({session.get("worker", 0) for session in sessions}) > 1
    share = report_handoff(topology, record_property)
    # None of these ports steers, so a packet is at its owner by chance only.
    assert (share > 0) == (workers > 1)


@ALL
@pytest.mark.parametrize("family", (4, 6))
def test_outbound_transfers(topology, family, digest, record_property):
    """From a host behind the box to a server in front of it."""
    topology.prepare_for("snat")
    topology.box.apply(services.state(gateways=[services.gateway(
        "office", ("10.0.2.0/24", "fd00:2::/64"), (network.OUTSIDE_IPV4, network.OUTSIDE_IPV6))]))
    address = network.CLIENT_IPV4 if family == 4 else network.CLIENT_IPV6
    inside = topology.backends[0].namespace
    with topology.server_in(topology.client, f"outside{family}", network.CLIENT_IPV4, network.CLIENT_IPV6):
        inside.run(["ping", "-n", "-c", 3, "-i", 0.2, "-W", 1, address], check=False)
        assert downloads(inside, address) == CONNECTIONS * [digest]
        assert_sessions_are_at_one_worker(topology)
        report_handoff(topology, record_property)


@ALL
@pytest.mark.parametrize("family", (4, 6))
def test_datagrams_in_fragments(topology, family):
    """Pings of three fragments from inside: put together, handed on, and back."""
    if topology.port_driver == "memif" and family == 4:
        pytest.skip("dpdk-testpmd, which is the wire here, has the kernel put IPv4 together")
    topology.prepare_for("snat")
    topology.box.apply(services.state(gateways=[services.gateway(
        "office", ("10.0.2.0/24", "fd00:2::/64"), (network.OUTSIDE_IPV4, network.OUTSIDE_IPV6))]))
    address = network.CLIENT_IPV4 if family == 4 else network.CLIENT_IPV6
    for backend in topology.backends:
        backend.namespace.run(["ping", "-n", "-c", 2, "-i", 0.2, "-W", 1, address], check=False)
        output = backend.namespace.run(["ping", "-n", "-c", 5, "-i", 0.05, "-W", 3, "-s", 4000,
                                        address]).stdout
        assert "5 received" in output and "DUP" not in output, output


@ALL
def test_queues_and_steering_are_told(topology):
    """What kind of box it is, as operators see it."""
    ports = topology.box.ctl_json("port", "list")["ports"]
    assert all(not port.get("steers_in_hardware") for port in ports)
    reason = "one worker" if topology.workers == 1 else "RSS"
    assert all(reason in port["steering_reason"] for port in ports), ports
