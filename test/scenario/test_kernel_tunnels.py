# SPDX-License-Identifier: Apache-2.0
"""Tunnels to a backend where Linux itself ends them, in a guest (test/guest/tunnel_end.py)."""

import modes
import pytest
import traffic
from guest.tunnel_end import tunnel_end


@pytest.fixture(name="end", scope="module")
def fixture_end(topology):
    with tunnel_end(topology) as end:
        yield end


@modes.each_of(*modes.TUNNEL)
def test_download_arrives_byte_for_byte(topology, end, mode):
    before = end.received()
    mode.apply(topology, [end])
    traffic.wait_for_answers(topology, mode.vip)
    assert traffic.downloaded_sha256(topology, mode.vip, "/noise") == end.digest
    after = end.received()
    assert after["rx_packets"] > before["rx_packets"]
    assert after["rx_errors"] == before["rx_errors"]
