# SPDX-License-Identifier: Apache-2.0
"""DNAT: what only it does. (What it shares with other modes: test_modes.py, test_path_mtu.py.)"""

import pytest
import traffic
from capture import Capture, ip_layer
from modes import DNAT, each_of
from scapy.layers.inet import TCP
from servers import dns_servers
from topology.backend import DUAL_STACK_PORT

DNS_PORT, DNS_BACKEND_PORT = 53, 5353
BOTH_ARMS = pytest.mark.boxes("af_packet", "one_arm")


@BOTH_ARMS
@each_of(*DNAT)
def test_port_translation(topology, mode):
    mode.apply(topology, backend_port=DUAL_STACK_PORT)
    shown = ("::ffff:" if mode.family == 4 else "") + mode.client_address
    assert {traffic.logged_client_address(topology, mode.vip) for _ in topology.backends} == {shown}


@BOTH_ARMS
@each_of(*DNAT)
def test_port_translation_of_udp(topology, mode):
    mode.apply(topology, port=DNS_PORT, backend_port=DNS_BACKEND_PORT, protocol="udp",
               scheduler="round_robin")
    with dns_servers(topology.backends, DNS_BACKEND_PORT) as servers:
        answers = {traffic.dns_answer(topology, mode.vip) for _ in range(2 * len(servers))}
        assert answers == set(servers)


@each_of(*DNAT)
def test_one_connection_on_both_sides(topology, mode):
    """Only the service's address and port, the TTL and the checksums differ.

    Not in order: a sender that moves to another CPU queues there, and veth has a queue for each.
    """
    backend = topology.backends[0]
    mode.apply(topology, [backend], backend_port=DUAL_STACK_PORT)
    traffic.fetch(topology, mode.vip)
    with Capture(topology.client, "client0", "tcp port 80") as at_client, \
         Capture(backend.namespace, "eth0", f"tcp port {DUAL_STACK_PORT}") as at_backend:
        traffic.fetch(topology, mode.vip)
        at_client.wait_for_end_of_connection()
        at_backend.wait_for_end_of_connection()
    own = {"vip": (mode.vip, 80), "backend": (mode.address_of(backend), DUAL_STACK_PORT)}
    for sent, arrived, before, after in (
            (to_port(at_client, 80), to_port(at_backend, DUAL_STACK_PORT), "vip", "backend"),
            (from_port(at_backend, DUAL_STACK_PORT), from_port(at_client, 80), "backend", "vip")):
        assert sorted(translated(packet, own[before], own[after]) for packet in sent) == sorted(
            bytes(ip_layer(packet)) for packet in arrived)


def to_port(capture, port):
    return [packet for packet in capture.packets() if packet[TCP].dport == port]


def from_port(capture, port):
    return [packet for packet in capture.packets() if packet[TCP].sport == port]


def translated(packet, before, after):
    """The IP packet as it should arrive; scapy computes the checksums."""
    ip = ip_layer(packet.copy())
    if (ip.dst, ip[TCP].dport) == before:
        ip.dst, ip[TCP].dport = after
    else:
        ip.src, ip[TCP].sport = after
    del ip[TCP].chksum
    if ip.version == 4:
        ip.ttl -= 1
        del ip.chksum
    else:
        ip.hlim -= 1
    return bytes(ip)


@BOTH_ARMS
@each_of(*DNAT)
def test_backends_reach_the_world_through_the_box(topology, mode):
    """What is no session of ours is the kernel's, which forwards it."""
    mode.apply(topology)
    result = topology.backends[0].namespace.run(
        ["ping", "-c", "3", "-i", "0.2", "-W", "2", mode.remote_address], check=False)
    assert "3 received" in result.stdout, result.stdout
