# SPDX-License-Identifier: Apache-2.0
"""The box on PCI ports, in a guest (test/guest)."""

import hashlib
import os
import re
import socket
import time

import pytest
import traffic
from guest import machine
from guest.program import GuestProgram
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from topology import network

BYTES = 1_000_000
PACKETS = 10_000
PACKETS_PER_S = 20_000
QUEUES = 3
pytestmark = pytest.mark.boxes("guest")
VIPS = pytest.mark.parametrize("vip", (network.VIP_IPV4, network.VIP_IPV6))


@VIPS
def test_every_backend_answers(topology, vip):
    topology.box.apply(traffic.web_state(topology))
    traffic.wait_for_answers(topology, vip)
    answered = [traffic.answering_backend(topology, vip).name for _ in range(6)]
    assert set(answered) == {backend.name for backend in topology.backends}


@VIPS
def test_download_arrives_byte_for_byte(topology, vip):
    content = os.urandom(BYTES)
    (topology.files / "noise").write_bytes(content)
    topology.box.apply(traffic.web_state(topology))
    traffic.wait_for_answers(topology, vip)
    digest = traffic.downloaded_sha256(topology, vip, "/files/noise")
    assert digest == hashlib.sha256(content).hexdigest()


def frames_of_all_kinds(count):
    """TCP and UDP over both families to the first port, no two of the same flow."""
    ethernet = Ether(src="02:00:00:00:00:01", dst=machine.mac_address(0))
    templates = []
    for ip in (IP(src=network.CLIENT_IPV4, dst=network.VIP_IPV4),
               IPv6(src=network.CLIENT_IPV6, dst=network.VIP_IPV6)):
        for transport in (TCP, UDP):
            headers = bytes(ethernet / ip)
            templates.append((bytes(ethernet / ip / transport()), len(headers)))
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


def test_key_and_table_survive_stop_and_start(topology):
    """The device puts each packet into the queue that a hash of DPDK's own in software names."""
    topology.box.stop()
    count = GuestProgram("count_by_queue", topology.guest,
                         ["count_by_queue", machine.pci_address(0), QUEUES, PACKETS],
                         "/tmp/count_by_queue.out")
    try:
        count.start()
        for number in (1, 2):
            count.wait_until(lambda n=number: f"ready {n}" in count.log, "it is ready", 30)
            send_slowly(topology, frames_of_all_kinds(PACKETS))
            count.wait_until(lambda n=number: f"round {n}" in count.log, "it has them all", 30)
        assert count.wait(10) == 0
    finally:
        count.kill()
        topology.restore()
    for counts, strays in re.findall(r"round \d: ([\d ]+) strays=(\d+)", count.log):
        assert int(strays) == 0
        by_queue = [int(packets) for packets in counts.split()]
        assert sum(by_queue) >= PACKETS and min(by_queue) > PACKETS / QUEUES / 2, by_queue
