# SPDX-License-Identifier: Apache-2.0
"""clamp_mss: SYNs announce no larger segments than the way to the backend carries, wrapped."""

import contextlib

import traffic
from capture import Capture, ip_layer
from modes import IP_BYTES, TRANSPARENT_MODES
from scapy.layers.inet import TCP
from topology import network
from topology.shell import wait_until
from tunnels import filter_of, inner_of

ROUTE_MTU = 1400
TCP_BYTES = 20


@contextlib.contextmanager
def narrow_route(topology, address):
    """Of the box, to that backend."""
    route = f"{address} dev {topology.twin_of_backends}"
    topology.box.namespace.ip(f"route add {route} mtu {ROUTE_MTU}")
    try:
        yield
    finally:
        topology.box.namespace.ip(f"route del {route}")
        network.forget_path_mtus(topology.client, topology.backends[0].namespace)


def announced(topology, mode):
    """The MSS of one SYN, as the client sends it and as it arrives at the backend."""
    is_tunnel = mode.name == "tunnel"
    arrivals = filter_of(mode) if is_tunnel else "tcp dst port 80"
    with Capture(topology.backends[0].namespace, "eth0", arrivals) as at_backend, \
         Capture(topology.client, "client0", "tcp dst port 80") as at_client:
        traffic.fetch(topology, mode.vip)
        for capture in (at_backend, at_client):
            capture.wait_for(lambda packets: packets)
    arrived = at_backend.packets()[0]
    return mss_of(ip_layer(at_client.packets()[0])), mss_of(
        inner_of(arrived, mode) if is_tunnel else ip_layer(arrived))


def mss_of(ip):
    assert ip[TCP].flags == "S"
    return dict(ip[TCP].options)["MSS"]


@TRANSPARENT_MODES
def test_syns_are_held_to_the_way(topology, mode):
    """Where the service says so; else they pass as they are."""
    backend = topology.backends[0]
    held = ROUTE_MTU - mode.overhead - IP_BYTES[mode.family] - TCP_BYTES
    with narrow_route(topology, mode.address_of(backend)):
        mode.apply(topology, [backend], clamp_mss="true")
        traffic.wait_for_answers(topology, mode.vip)
        sent, arrived = wait_until(
            lambda: (both := announced(topology, mode))[0] != both[1] and both,
            "a SYN is held to the route")
        assert arrived == held < sent
        mode.apply(topology, [backend], clamp_mss="false")
        sent, arrived = announced(topology, mode)
        assert arrived == sent > held
