# SPDX-License-Identifier: Apache-2.0
"""HTTP through full NAT: single requests, many, and a large one."""

import pytest
import traffic
from topology import network

REQUESTS = 10_000
VIPS = pytest.mark.parametrize("vip", (network.VIP_IPV4, network.VIP_IPV6))
ALL_BOXES = pytest.mark.boxes("af_packet", "af_xdp", "one_arm")


@ALL_BOXES
@VIPS
def test_every_backend_answers(topology, vip):
    topology.box.apply(traffic.web_state(topology))
    count = len(topology.backends)
    answered = [traffic.answering_backend(topology, vip).name for _ in range(2 * count)]
    assert sorted(answered) == sorted(2 * [backend.name for backend in topology.backends])


@ALL_BOXES
@VIPS
@pytest.mark.parametrize("close", (False, True), ids=("keep-alive", "close"))
def test_ten_thousand_requests(topology, vip, close):
    topology.box.apply(traffic.web_state(topology))
    count = traffic.wrk(topology, vip, REQUESTS, close=close)
    traffic.assert_no_failed_request(count, REQUESTS)


@VIPS
def test_gigabyte_download(topology, large_file, vip):
    path, digest = large_file
    link = topology.files / "large"
    if not link.is_symlink():
        link.symlink_to(path)
    topology.box.apply(traffic.web_state(topology))
    assert traffic.downloaded_sha256(topology, vip, "/files/large") == digest


@pytest.mark.boxes("af_packet", "one_arm")
@VIPS
def test_refused_connection(topology, vip):
    """No service has this port, so the kernel answers for the box: with a reset, at once."""
    topology.box.apply(traffic.web_state(topology))
    result = traffic.fetch(topology, vip, port=81, check=False)
    assert result.returncode == 7, result.stderr
