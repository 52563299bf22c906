# SPDX-License-Identifier: Apache-2.0
"""Which client address an unmodified nginx logs."""

import pytest
import traffic
from topology import network, services
from topology.backend import DUAL_STACK_PORT

CASES = pytest.mark.parametrize(
    "vip, port, client",
    ((network.VIP_IPV4, 80, network.CLIENT_IPV4),
     (network.VIP_IPV6, 80, network.CLIENT_IPV6),
     (network.VIP_IPV4, DUAL_STACK_PORT, f"::ffff:{network.CLIENT_IPV4}"),
     (network.VIP_IPV6, DUAL_STACK_PORT, network.CLIENT_IPV6)),
    ids=("ipv4", "ipv6", "ipv4-on-dual-stack", "ipv6-on-dual-stack"))
LOCAL_ADDRESSES = {*network.LOCAL_IPV4, *network.LOCAL_IPV6,
                   *(f"::ffff:{address}" for address in network.LOCAL_IPV4)}


def apply(topology, vip, port, **settings):
    backends = [b.ipv6 if ":" in vip else b.ipv4 for b in topology.backends]
    topology.box.apply(services.state(
        services.service("web", vip, backends, port=port, **settings)))


@CASES
def test_with_toa_it_is_the_clients(topology, vip, port, client):
    apply(topology, vip, port, client_address="{carrier: toa}")
    topology.attach_toa()
    logged = [traffic.logged_client_address(topology, vip, port) for _ in range(6)]
    assert logged == 6 * [client]


@CASES
def test_without_toa_it_is_the_local_address(topology, vip, port, client):
    apply(topology, vip, port, client_address="{carrier: none}")
    topology.attach_toa()
    assert traffic.logged_client_address(topology, vip, port) in LOCAL_ADDRESSES


@CASES
def test_without_the_program_it_is_the_local_address(topology, vip, port, client):
    apply(topology, vip, port, client_address="{carrier: toa}")
    assert traffic.logged_client_address(topology, vip, port) in LOCAL_ADDRESSES


def test_on_syn_too(topology):
    apply(topology, network.VIP_IPV4, 80, client_address="{carrier: toa, toa_on_syn: true}")
    topology.attach_toa()
    assert traffic.logged_client_address(topology, network.VIP_IPV4) == network.CLIENT_IPV4


def test_with_many_connections_at_once(topology):
    """Every one of many requests, each on a connection of its own, is logged with the client's."""
    apply(topology, network.VIP_IPV4, 80, client_address="{carrier: toa}")
    topology.attach_toa()
    before = {b.name: len(b.logged_lines()) for b in topology.backends}
    requests = 1000
    count = traffic.wrk(topology, network.VIP_IPV4, requests, close=True)
    traffic.assert_no_failed_request(count, requests)
    addresses = [line.split()[0] for b in topology.backends
                 for line in b.logged_lines()[before[b.name]:]]
    assert len(addresses) >= requests and set(addresses) == {network.CLIENT_IPV4}
