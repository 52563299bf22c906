# SPDX-License-Identifier: Apache-2.0
"""The box's kernel answers for a VIP, through the twins, and large pings arrive in fragments."""

import pytest
import traffic
from topology import network

COUNT = 3


@pytest.mark.boxes("af_packet", "af_xdp", "one_arm")
@pytest.mark.parametrize("vip", (network.VIP_IPV4, network.VIP_IPV6))
@pytest.mark.parametrize("size", (56, 8000, 20000))
def test_ping(topology, vip, size):
    topology.box.apply(traffic.web_state(topology))
    result = topology.client.run(["ping", "-c", COUNT, "-i", "0.2", "-W", "2", "-s", size, vip],
                                 check=False)
    assert f"{COUNT} received" in result.stdout, result.stdout + result.stderr


def test_ping_of_a_vip_without_services_fails(topology):
    """The control plane takes away the VIP that it put on the box when the last service goes."""
    topology.box.apply("local_addresses: []\nservices: []\n")
    result = topology.client.run(["ping", "-c", 1, "-W", "1", network.VIP_IPV4], check=False)
    assert result.returncode != 0, result.stdout
