# SPDX-License-Identifier: Apache-2.0
"""On a machine of two NUMA nodes (test/guest/machine.py: node 1 has the first port and the last
processor, node 0 the rest), memory comes from the node where it is used, and if it cannot, the log
says so."""

import contextlib
import hashlib
import os
import re

import pytest
import traffic
from topology import network

BYTES = 1_000_000
MEMORY_MIB = "256"
NEAR_CORE, DISTANT_CORE = 2, 1  # from the first port

pytestmark = pytest.mark.boxes("guest_of_two_nodes")


@contextlib.contextmanager
def dataplane_with(topology, worker_core):
    """Started anew, with its log, and with so little memory that each node has enough.
    worker_core: None for the default."""
    box = topology.box
    box.dataplane.stop()
    before = box.dataplane.argv
    option = before.index("--worker-cores")
    chosen = [] if worker_core is None else ["--worker-cores", worker_core]
    box.dataplane.argv = [str(word) for word in
                          [*before[:option], *chosen, *before[option + 2:], "--discard-sessions"]]
    box.dataplane.argv[box.dataplane.argv.index("--memory-mib") + 1] = MEMORY_MIB
    earlier = len(box.dataplane.log)
    try:
        box.start_dataplane()
        box.dataplane.wait_until(lambda: "is ready" in box.dataplane.log[earlier:], "it is ready",
                                 60)
        yield box.dataplane.log[earlier:]
        box.dataplane.stop()
    finally:
        box.dataplane.argv = before
    box.start_dataplane()
    box.wait_synced()


def worker_core(topology):
    workers = topology.box.ctl_json("stats")["counters"]["workers"]
    assert len(workers) == 1
    return workers[0]["core"]


def distances(topology, log):
    """What is said to be on another node, by index of port."""
    found = re.findall(r"warning: port (\S+) is on NUMA node (\d) and (.+) on node (\d):", log)
    index = {topology.guest.pci_address(i): i for i in (0, 1)}
    return {(index[port], int(node), what, int(other)) for port, node, what, other in found}


def pages_by_node(topology, name):
    """Of the dataplane's mappings of files whose path has `name`."""
    maps = topology.guest.run(["cat", f"/proc/{topology.box.dataplane.pid}/numa_maps"]).stdout
    pages = {}
    for line in maps.splitlines():
        if name in line:
            for node, count in re.findall(r" N(\d+)=(\d+)", line):
                pages[int(node)] = pages.get(int(node), 0) + int(count)
    return pages


def test_worker_is_near_the_first_port_by_default(topology):
    with dataplane_with(topology, None) as log:
        topology.box.wait_synced()
        assert worker_core(topology) == NEAR_CORE
        assert distances(topology, log) == {(1, 0, "worker 0", 1)}
        assert set(pages_by_node(topology, ".sessions")) == {1}


def test_worker_elsewhere_takes_its_sessions_along(topology):
    with dataplane_with(topology, DISTANT_CORE) as log:
        topology.box.wait_synced()
        assert worker_core(topology) == DISTANT_CORE
        assert distances(topology, log) == {(0, 1, "worker 0", 0)}
        assert set(pages_by_node(topology, ".sessions")) == {0}


def test_buffers_without_room_on_their_node(topology):
    """Enough is there for what the port's driver cannot do without."""
    of_node = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
    topology.box.dataplane.stop()
    before = topology.guest.run(["cat", of_node]).stdout.strip()
    topology.guest.write_file(of_node, "6")
    try:
        with dataplane_with(topology, DISTANT_CORE) as log:
            topology.guest.write_file(of_node, before)
            assert distances(topology, log) == {(0, 1, "worker 0", 0),
                                                (0, 1, "its packet buffers", 0)}
    finally:
        topology.guest.write_file(of_node, before)


def test_packets_move_between_the_nodes(topology):
    """Each port receives into a pool of its own, and sends what the other received."""
    content = os.urandom(BYTES)
    (topology.files / "noise").write_bytes(content)
    topology.box.apply(traffic.web_state(topology))
    traffic.wait_for_answers(topology, network.VIP_IPV4)
    digest = traffic.downloaded_sha256(topology, network.VIP_IPV4, "/files/noise")
    assert digest == hashlib.sha256(content).hexdigest()
