# SPDX-License-Identifier: Apache-2.0
"""Either daemon is killed and started again: service is back, the other one is untouched."""

import traffic
from held import HeldConnections
from topology import network


def test_control_plane_killed(topology):
    """Not a packet notices; the restarted one knows the same state and finds nothing to repair."""
    box = topology.box
    box.apply(traffic.web_state(topology))
    # Neighbours that nobody needed yet are resolved with the control plane's help.
    assert {traffic.answering_backend(topology, network.VIP_IPV4).name
            for _ in topology.backends} == {backend.name for backend in topology.backends}
    before = box.ctl_json("version")
    dataplane_pid = box.dataplane.pid
    box.controlplane.kill()
    count = traffic.wrk(topology, network.VIP_IPV4, 1000, close=True)
    traffic.assert_no_failed_request(count, 1000)
    box.start_controlplane()
    box.wait_synced()
    after = box.ctl_json("version")
    assert after["generation"] == before["generation"]
    assert box.dataplane.running and box.dataplane.pid == dataplane_pid
    traffic.fetch(topology, network.VIP_IPV4)
    traffic.fetch(topology, network.VIP_IPV6)


def test_dataplane_killed(topology):
    """The control plane notices by itself and pushes everything to the new one."""
    box = topology.box
    box.apply(traffic.web_state(topology))
    generation = box.ctl_json("version")["generation"]
    controlplane_pid = box.controlplane.pid
    box.dataplane.kill()
    box.ctl("service", "list")
    box.start_dataplane()
    box.wait_synced()
    assert box.controlplane.running and box.controlplane.pid == controlplane_pid
    assert box.ctl_json("version")["generation"] == generation
    traffic.wait_for_answers(topology, network.VIP_IPV4, network.VIP_IPV6)
    count = traffic.wrk(topology, network.VIP_IPV4, 1000, close=True)
    traffic.assert_no_failed_request(count, 1000)


def kill_dataplane_and_restart(box):
    """What the new one says of the sessions that it found."""
    log_before = len(box.dataplane.log)
    box.dataplane.kill()
    box.start_dataplane()
    box.wait_synced()
    return next(line for line in box.dataplane.log[log_before:].splitlines()
                if line.startswith("adopted "))


def test_established_connections_survive_a_kill(topology):
    box = topology.box
    box.apply(traffic.web_state(topology))
    traffic.wait_for_answers(topology, network.VIP_IPV4, network.VIP_IPV6)
    with HeldConnections(topology, network.VIP_IPV4, 20) as held4, \
            HeldConnections(topology, network.VIP_IPV6, 20) as held6:
        for held in (held4, held6):
            held.exchange()
        adopted = kill_dataplane_and_restart(box)
        assert " 0 dropped as incomplete, 0 as impossible" in adopted, adopted
        for held in (held4, held6):
            held.exchange()
        assert box.active_sessions() >= 40


def test_both_killed(topology):
    """The desired state is on disk."""
    box = topology.box
    box.apply(traffic.web_state(topology))
    generation = box.ctl_json("version")["generation"]
    box.controlplane.kill()
    box.dataplane.kill()
    box.start()
    box.wait_synced()
    assert box.ctl_json("version")["generation"] == generation
    traffic.wait_for_answers(topology, network.VIP_IPV4, network.VIP_IPV6)


def test_orderly_stop(topology):
    """SIGTERM ends both with status 0."""
    assert topology.box.controlplane.stop() == 0
    assert topology.box.dataplane.stop() == 0
    topology.restore()
