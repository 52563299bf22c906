# SPDX-License-Identifier: Apache-2.0
"""The box on PCI ports, in a guest (test/guest)."""

import hashlib
import os

import pytest
import traffic
from topology import network

BYTES = 1_000_000
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
