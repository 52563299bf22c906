# SPDX-License-Identifier: Apache-2.0
"""The box on PCI ports, in a guest (test/guest): one worker, and several whose flows the ports tell
apart. Emulation is slow, so there is little of everything.
"""

import hashlib
import os
import re
import socket
import time

import modes
import pytest
import traffic
from guest import machine
from guest.program import GuestProgram
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from servers import DNS_NAME, dns_servers
from topology import network, services

BYTES = 1_000_000
REQUESTS = 100
QUESTIONS = 20
DNS_PORT = 53
PACKETS = 10_000
PACKETS_PER_S = 10_000
QUEUES = 3

ONE_WORKER = pytest.mark.boxes("guest")
SEVERAL_WORKERS = pytest.mark.boxes("guest_of_two", "guest_of_four")
EACH_FAMILY = pytest.mark.parametrize("family", (4, 6))
VIPS = pytest.mark.parametrize("vip", (network.VIP_IPV4, network.VIP_IPV6))


@ONE_WORKER
@VIPS
def test_every_backend_answers(topology, vip):
    topology.box.apply(traffic.web_state(topology))
    traffic.wait_for_answers(topology, vip)
    answered = [traffic.answering_backend(topology, vip).name for _ in range(6)]
    assert set(answered) == {backend.name for backend in topology.backends}


@ONE_WORKER
@VIPS
def test_download_arrives_byte_for_byte(topology, vip):
    content = os.urandom(BYTES)
    (topology.files / "noise").write_bytes(content)
    topology.box.apply(traffic.web_state(topology))
    traffic.wait_for_answers(topology, vip)
    digest = traffic.downloaded_sha256(topology, vip, "/files/noise")
    assert digest == hashlib.sha256(content).hexdigest()


@ONE_WORKER
def test_killed_dataplane_gets_its_ports_back(topology):
    """The devices were left running, with their rings in memory that is another's now."""
    topology.box.apply(traffic.web_state(topology))
    traffic.wait_for_answers(topology, network.VIP_IPV4)
    topology.box.dataplane.kill()
    topology.box.start_dataplane()
    topology.box.wait_synced()
    traffic.wait_for_answers(topology, network.VIP_IPV4)


@ONE_WORKER
def test_a_handover_gives_the_devices_on(topology):
    """The successor's environment runs before they are free; it takes them when they are."""
    box = topology.box
    box.apply(traffic.web_state(topology))
    traffic.wait_for_answers(topology, network.VIP_IPV4)
    before = box.dataplane
    box.dataplane = GuestProgram(before.name, topology.guest, [*before.argv, "--take-over"],
                                 box.directory / "successor.out")
    box.dataplane.start()
    box.dataplane.argv = before.argv
    assert before.wait(timeout_s=60) == 0
    box.dataplane.wait_until(lambda: "is ready" in box.dataplane.log, "it is ready", 60)
    assert re.search(r"adopted [1-9]\d* sessions", box.dataplane.log), box.dataplane.log
    box.wait_synced()
    traffic.wait_for_answers(topology, network.VIP_IPV4)


def frames_of_all_kinds(count):
    """TCP and UDP over both families to the first port, no two of the same flow."""
    ethernet = Ether(src="02:00:00:00:00:01", dst=machine.mac_address(0))
    templates = []
    for ip in (IP(src=network.CLIENT_IPV4, dst=network.VIP_IPV4),
               IPv6(src=network.CLIENT_IPV6, dst=network.VIP_IPV6)):
        for transport in (TCP, UDP):
            templates.append((bytes(ethernet / ip / transport()), len(ethernet / ip)))
    for number in range(count):
        frame, ports_at = templates[number % len(templates)]
        ports = (1024 + number).to_bytes(2, "big") + (80 + number % 7).to_bytes(2, "big")
        yield frame[:ports_at] + ports + frame[ports_at + 4:]


def send_slowly(topology, frames):
    with topology.client.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("client0", 0))
        started = time.monotonic()
        for number, frame in enumerate(frames):
            wire.send(frame)
            time.sleep(max(0, started + number / PACKETS_PER_S - time.monotonic()))


@ONE_WORKER
def test_key_and_table_survive_stop_and_start(topology):
    """The device puts each packet into the queue that a hash of DPDK's own in software names."""
    topology.box.stop()
    count = GuestProgram("count_by_queue", topology.guest,
                         ["count_by_queue", topology.guest.pci_address(0), QUEUES, PACKETS],
                         "/tmp/count_by_queue.out")
    try:
        count.start()
        for number in (1, 2):
            count.wait_until(lambda n=number: f"ready {n}" in count.log, "it is ready", 40)
            send_slowly(topology, frames_of_all_kinds(PACKETS))
        assert count.wait(40) == 0  # it has them all, twice
    finally:
        count.kill()
        topology.restore()
    rounds = re.findall(r"round \d: ([\d ]+) strays=(\d+)", count.log)
    assert len(rounds) == 2
    for counts, strays in rounds:
        assert int(strays) == 0
        by_queue = [int(packets) for packets in counts.split()]
        assert sum(by_queue) >= PACKETS and min(by_queue) > PACKETS / QUEUES / 2, by_queue


# --- several workers -----------------------------------------------------------------------------


@pytest.fixture(name="no_handoff")
def fixture_no_handoff(topology):
    """While the test lasts, packets come to the worker that owns their flow, and to each worker
    some."""
    before = worker_counters(topology)
    yield
    after = worker_counters(topology)
    for worker, earlier in zip(after, before):
        grown = {name: int(worker[name]) - int(earlier[name])
                 for name in ("handoff_sent_packets", "handoff_received_packets",
                              "received_packets", "sessions_created")}
        assert grown["handoff_sent_packets"] == grown["handoff_received_packets"] == 0, grown
        assert grown["received_packets"] > 0 and grown["sessions_created"] > 0, grown


def worker_counters(topology):
    return topology.box.ctl_json("stats")["counters"]["workers"]


@SEVERAL_WORKERS
def test_ports_steer_in_hardware(topology):
    ports = topology.box.ctl_json("stats")["dataplane"]["ports"]
    assert [port["steers_in_hardware"] for port in ports] == [True, True], ports
    assert len(worker_counters(topology)) == topology.box.workers
    assert "steers in hardware: 128 buckets" in topology.box.dataplane.log


@SEVERAL_WORKERS
@EACH_FAMILY
def test_full_nat_needs_no_handoff(topology, family, no_handoff):
    """TCP and UDP."""
    del no_handoff
    mode = modes.Mode("full_nat", family, family)
    topology.box.apply(services.state(
        mode.service("web", topology.backends),
        mode.service("dns", topology.backends, port=DNS_PORT, protocol="udp")))
    ask_for_pages(topology, mode.vip)
    with dns_servers(topology.backends, DNS_PORT):
        names = {traffic.dns_answer(topology, mode.vip) for _ in range(QUESTIONS)}
    assert names == {backend.name for backend in topology.backends}


@pytest.mark.boxes("guest_of_two")
@modes.each_of(*modes.NAT64_NAT46)
def test_other_family_needs_no_handoff(topology, mode, no_handoff):
    del no_handoff
    mode.apply(topology)
    ask_for_pages(topology, mode.vip)


def ask_for_pages(topology, vip):
    traffic.wait_for_answers(topology, vip)
    count = traffic.wrk(topology, vip, REQUESTS, connections=4, close=True)
    traffic.assert_no_failed_request(count, REQUESTS)


@SEVERAL_WORKERS
@EACH_FAMILY
def test_outbound_gateway_needs_no_handoff(topology, family, no_handoff):
    del no_handoff
    topology.prepare_for("snat")
    topology.box.apply(services.state(gateways=[services.gateway(
        "office", ["10.0.2.0/24", "fd00:2::/64"],
        [network.OUTSIDE_IPV4, network.OUTSIDE_IPV6])]))
    host = topology.backends[0].namespace
    client = network.CLIENT_IPV4 if family == 4 else network.CLIENT_IPV6
    with topology.server_in(topology.client, f"outside-{family}", network.CLIENT_IPV4,
                            network.CLIENT_IPV6) as outside:
        count = traffic.wrk(topology, client, REQUESTS, connections=4, close=True, host=host)
        traffic.assert_no_failed_request(count, REQUESTS)
        with dns_servers([outside], DNS_PORT):
            answer = host.run(["dig", f"@{client}", "-p", DNS_PORT, "+short", "+tries=3",
                               "+time=1", "TXT", DNS_NAME]).stdout
    assert outside.name in answer
