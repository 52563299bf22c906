# SPDX-License-Identifier: Apache-2.0
"""What is on the wire: TCP options, checksums and TTLs on both sides of the box."""

import ipaddress
import struct

import pytest
import traffic
from capture import Capture, ip_layer
from forge import FORGED_ADDRESS, FORGER, tcp_conversation
from scapy.layers.inet import TCP
from topology import network, services

TOA_KIND = 254
TOA_BYTES = {4: 8, 6: 20}
IP_BYTES = {4: 20, 6: 40}
TCP_BYTES = 20
SENT_TTL = 64
FAMILIES = pytest.mark.parametrize("family", (4, 6))


def toa_of(packet):
    """(address, port) of every TOA option in the packet, of either form."""
    found = []
    for kind, content in packet[TCP].options:
        if kind == TOA_KIND:
            port = struct.unpack("!H", content[:2])[0]
            found.append((str(ipaddress.ip_address(content[2:])), port))
    return found


def mss_of(packet):
    return dict(packet[TCP].options)["MSS"]


def checksums_are_right(packet):
    """Whether scapy, told to compute them again, comes to the same bytes."""
    again = packet.copy()
    ip = ip_layer(again)
    if ip.version == 4:
        del ip.chksum
    del again[TCP].chksum
    return bytes(again) == bytes(packet)


def apply(topology, family, **settings):
    backend = topology.backends[0]
    vip, address = {4: (network.VIP_IPV4, backend.ipv4),
                    6: (network.VIP_IPV6, backend.ipv6)}[family]
    topology.box.apply(services.state(services.service("web", vip, [address], **settings)))
    traffic.fetch(topology, vip)
    return vip, backend


@FAMILIES
def test_one_connection_on_both_sides(topology, family):
    vip, backend = apply(topology, family, client_address="{carrier: toa}")
    with Capture(topology.client, "client0", "tcp port 80") as at_client, \
         Capture(backend.namespace, "eth0", "tcp port 80") as at_backend:
        traffic.fetch(topology, vip)
        at_client.wait_for_end_of_connection()
        at_backend.wait_for_end_of_connection()
    client_side, backend_side = at_client.packets(), at_backend.packets()
    request = [p for p in client_side if p[TCP].dport == 80]
    response = [p for p in client_side if p[TCP].sport == 80]
    to_backend = [p for p in backend_side if p[TCP].dport == 80]
    from_backend = [p for p in backend_side if p[TCP].sport == 80]
    client = (network.CLIENT_IPV4 if family == 4 else network.CLIENT_IPV6, request[0][TCP].sport)

    syn, handshake_ack, first_data = to_backend[:3]
    assert syn[TCP].flags == "S" and toa_of(syn) == []
    assert handshake_ack[TCP].flags == "A" and toa_of(handshake_ack) == [client]
    assert len(first_data[TCP].payload) > 0 and toa_of(first_data) == [client]
    assert not any(toa_of(packet) for packet in response)

    full = network.MTU - IP_BYTES[family] - TCP_BYTES
    assert mss_of(response[0]) <= full - TOA_BYTES[family]
    assert mss_of(syn) <= full

    # The sender's own checksums are right too: offloads are off.
    for packet in client_side + backend_side:
        assert checksums_are_right(packet), packet.summary()
    for packet in to_backend + response:
        ip = ip_layer(packet)
        assert (ip.ttl if family == 4 else ip.hlim) == SENT_TTL - 1
    assert len(to_backend) == len(request) and len(response) == len(from_backend)

    local = network.LOCAL_IPV4 if family == 4 else network.LOCAL_IPV6
    assert {ip_layer(packet).src for packet in to_backend} <= set(local)
    assert {ip_layer(packet).src for packet in response} == {vip}


@FAMILIES
def test_toa_on_syn(topology, family):
    vip, backend = apply(topology, family, client_address="{carrier: toa, toa_on_syn: true}")
    with Capture(backend.namespace, "eth0", "tcp dst port 80") as capture:
        traffic.fetch(topology, vip)
        capture.wait_for_end_of_connection()
    syn = capture.packets()[0]
    client = network.CLIENT_IPV4 if family == 4 else network.CLIENT_IPV6
    assert syn[TCP].flags == "S" and [address for address, _ in toa_of(syn)] == [client]


@FAMILIES
@pytest.mark.parametrize("carrier", ("toa", "none"))
def test_forged_toa_is_blanked(topology, family, carrier):
    """A client that sends our option itself: the backend sees only ours, or none."""
    vip, backend = apply(topology, family, client_address=f"{{carrier: {carrier}}}")
    topology.attach_toa()
    with Capture(backend.namespace, "eth0", "tcp dst port 80") as capture:
        answer, port = tcp_conversation(topology, vip, family)
        capture.wait_for(lambda packets: any(p[TCP].flags.R or p[TCP].flags.F for p in packets))
    segments = capture.packets()
    local = network.LOCAL_IPV4 if family == 4 else network.LOCAL_IPV6
    seen = FORGER[family] if carrier == "toa" else None
    assert b"200 OK" in answer and FORGED_ADDRESS[family].encode() not in answer
    assert (seen.encode() in answer if seen else any(a.encode() in answer for a in local))
    allowed = {(seen, port)} if seen else set()
    assert {option for segment in segments for option in toa_of(segment)} == allowed
    assert all(checksums_are_right(segment) for segment in segments)


@FAMILIES
def test_without_carrier_no_option_is_added(topology, family):
    vip, backend = apply(topology, family, client_address="{carrier: none}")
    with Capture(backend.namespace, "eth0", "tcp dst port 80") as capture:
        traffic.fetch(topology, vip)
        capture.wait_for_end_of_connection()
    assert not any(toa_of(packet) for packet in capture.packets())
