# SPDX-License-Identifier: Apache-2.0
"""The generator of bench/wire: what it sends through the real programs comes back, and is right.

Its ports need no network, so there is no topology but one namespace for the box's twins.
"""

import contextlib
import os
import pathlib

import pytest
from conftest import BUILD_DIR
from topology import sweep
from topology.namespace import Namespace
from topology.wire import Traffic, WiredBox, WiredTestpmd, faults

FLOWS = 2000
PACKETS = 100_000  # each way
SESSIONS = 8192
EACH_FAMILY = pytest.mark.parametrize("family", (4, 6))
EACH_PROTOCOL = pytest.mark.parametrize("protocol", ("tcp", "udp"))


@contextlib.contextmanager
def run_of_its_own():
    """A folder for files, and removal of all that was made. Not beside a topology, which is one
    of this process too."""
    sweep.sweep_leftovers()
    directory = sweep.run_directory(os.getpid()) / "wire"
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        sweep.remove_run(os.getpid())


@contextlib.contextmanager
def started(wired):
    try:
        wired.start()
        yield wired
    finally:
        wired.stop()


def assert_all_came_back(figures):
    assert figures["established"] == FLOWS
    assert figures["clients"]["sent"] == figures["backends"]["sent"] == PACKETS
    assert faults(figures) == {}


@EACH_FAMILY
@EACH_PROTOCOL
def test_full_nat_both_ways(family, protocol):
    with run_of_its_own() as directory:
        namespace = Namespace(sweep.namespace_name(os.getpid(), "wire")).create()
        traffic = Traffic(FLOWS, protocol, family, data_packets=PACKETS)
        with started(WiredBox(namespace, directory, BUILD_DIR, SESSIONS, huge_pages=False)) as box:
            box.serve(traffic)
            box.begin(traffic)
            assert_all_came_back(box.wait_for_phase("done"))
            assert int(box.counters()["sessions_created"]) == FLOWS


def cores():
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@pytest.mark.parametrize("mode", ("io", "5tswap"))
def test_testpmd(mode):
    with run_of_its_own() as directory:
        testpmd = WiredTestpmd(mode, pathlib.Path(directory), BUILD_DIR, cores(), huge_pages=False)
        with started(testpmd):
            testpmd.begin(Traffic(FLOWS, data_packets=PACKETS))
            assert_all_came_back(testpmd.wait_for_phase("done"))


def test_faults_are_seen():
    """macswap does not translate, and the generator says so."""
    with run_of_its_own() as directory:
        testpmd = WiredTestpmd("macswap", pathlib.Path(directory), BUILD_DIR, cores(),
                               huge_pages=False)
        testpmd._box = "full_nat"  # pylint: disable=protected-access
        with started(testpmd):
            testpmd.begin(Traffic(FLOWS, data_packets=PACKETS))
            testpmd.program.wait_until(
                lambda: (testpmd.read() or {}).get("backends", {}).get("wrong_addresses", 0) > 0,
                "the generator counts what is addressed wrongly")
            assert testpmd.read()["established"] == 0
