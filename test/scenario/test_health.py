# SPDX-License-Identifier: Apache-2.0
"""A backend's nginx stops under load: out within interval × fall, no request fails from then on, and
it is back when nginx is."""

import time

import traffic
from topology import Program, network, services
from topology.shell import wait_until

INTERVAL_S, TIMEOUT_S, FALL = 0.5, 0.4, 3  # as in services.HTTP_CHECK
# The last check before the stop may have begun right before it; the rest is this machine's.
OUT_WITHIN_S = INTERVAL_S * FALL + TIMEOUT_S + 0.5
BACK_WITHIN_S = 5


def status(box, backend):
    return box.backend_statuses()["web", backend.ipv4]


def health(box, backend):
    return status(box, backend)["health"]


def test_backend_goes_and_comes_back_under_load(topology):
    box, sick = topology.box, topology.backends[0]
    box.apply(traffic.web_state(topology, health_check=services.HTTP_CHECK))
    wait_until(box.all_backends_up, "every backend is up")
    load = Program("wrk", topology.client.enter(
        ["wrk", "-t1", "-c8", "-d20s", traffic.url(network.VIP_IPV4)]),
        topology.directory / "wrk.out")
    load.start()
    try:
        wait_until(lambda: box.active_sessions() > 0, "wrk is at work")
        sick.nginx.stop()
        stopped = time.monotonic()
        wait_until(lambda: not box.is_available("web", sick.ipv4),
                   "the stopped backend is out", OUT_WITHIN_S + 5)
        assert health(box, sick) == "HEALTH_DOWN"
        assert time.monotonic() - stopped <= OUT_WITHIN_S
        count = traffic.wrk(topology, network.VIP_IPV4, 2000, close=True)
        traffic.assert_no_failed_request(count, 2000)
        assert status(box, sick)["reason"]
        sick.start()
        wait_until(lambda: health(box, sick) == "HEALTH_UP",
                   "it is back", BACK_WITHIN_S)
        wait_until(lambda: traffic.answering_backend(topology, network.VIP_IPV4) is sick,
                   "it answers again")
    finally:
        load.kill()


def test_no_backend_is_left(topology):
    """Checks that expect another status than nginx gives find nobody: new connections get nowhere,
    and the box stays well."""
    box = topology.box
    check = services.HTTP_CHECK.replace("http_path: /", "http_path: /, http_expected_status: 404")
    box.apply(traffic.web_state(topology, health_check=check))
    wait_until(lambda: all(health(box, b) == "HEALTH_DOWN" and not box.is_available("web", b.ipv4)
                           for b in topology.backends), "every backend is down")
    assert "200" in status(box, topology.backends[0])["reason"]
    result = traffic.fetch(topology, network.VIP_IPV4, check=False, limit_s=2)
    assert result.returncode != 0
    box.apply(traffic.web_state(topology, health_check=services.TCP_CHECK))
    wait_until(box.all_backends_up, "every backend is up")
    traffic.fetch(topology, network.VIP_IPV4)


def test_health_is_no_part_of_the_desired_state(topology):
    """A backend going down makes no new generation."""
    box, sick = topology.box, topology.backends[1]
    box.apply(traffic.web_state(topology, health_check=services.TCP_CHECK))
    wait_until(box.all_backends_up, "every backend is up")
    generation = box.ctl_json("version")["generation"]
    sick.nginx.stop()
    wait_until(lambda: health(box, sick) == "HEALTH_DOWN", "it is down")
    assert box.ctl_json("version")["generation"] == generation
