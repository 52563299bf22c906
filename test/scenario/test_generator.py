# SPDX-License-Identifier: Apache-2.0
"""The generator of bench/wire: what it sends through the real programs comes back, and is right.

Its ports need no network, so there is no topology but one namespace for the box's twins.
"""

import contextlib
import json
import os
import pathlib
import signal
import time

import pytest
from conftest import BUILD_DIR, TEST_DIR
from topology import sweep
from topology.namespace import Namespace
from topology.poll_gaps import gaps_of, longest, quantile
from topology.shell import run
from topology.wire import Traffic, WiredBox, WiredTestpmd, faults

FLOWS = 2000
PACKETS = 100_000  # each way
STOPPED_S = 0.4
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


def test_a_stop_is_a_gap_by_the_clock_alone():
    """A poll that the kernel kept from coming is told from one that the program was slow with."""
    with run_of_its_own() as directory:
        testpmd = WiredTestpmd("io", pathlib.Path(directory), BUILD_DIR, cores(), huge_pages=False)
        with started(testpmd):
            testpmd.begin(Traffic(FLOWS))
            testpmd.wait_for_phase("data")
            testpmd.program.signal(signal.SIGSTOP)
            time.sleep(STOPPED_S)
            testpmd.program.signal(signal.SIGCONT)
            figures = testpmd.read_now()
            by_clock, by_processor = (gaps_of(figures, clock)
                                      for clock in ("clock_ns", "processor_ns"))
            half_ns = STOPPED_S / 2 * 1e9  # a busy machine stops it late
            assert longest(by_clock) > half_ns > longest(by_processor) > 0
            assert quantile(by_clock, 0.9) < half_ns


def test_changes():
    """bench/wire/changes: every row is there, and no change costs a packet."""
    with run_of_its_own() as directory:
        rows_file = directory / "rows.json"
        run([TEST_DIR.parent / "bench" / "wire" / "changes", "--build", BUILD_DIR, "--plain-memory",
             "--flows", FLOWS, "--services", 20, "--service-backends", 3, "--rounds", 1,
             "--whole-rounds", 1, "--window-s", 0.05, "--turns", 1, "--turn-s", 0.05,
             "--json", rows_file])
        rows = json.loads(rows_file.read_text())
        *changes, listing = rows
        assert [row["change"] for row in changes] == [
            "whole, added", "whole, removed", *(
                f"{what} {how}" for what in ("local address", "service", "backend")
                for how in ("added", "removed")), "weight changed", "weight changed back"]
        for row in changes:
            assert row["changed_lost"] == row["idle_lost"] == 0
            assert row["vips_ms"] > row["live_ms"] > row["applied_ms"] > 0
            assert all(row[f"cpu_{program}_ms"] > 0
                       for program in ("ctl", "controlplane", "dataplane"))
            assert row["changed_longest_us"] > 0 and row["idle_longest_us"] > 0
        assert listing["sessions"] == FLOWS
        assert listing["idle_net_ns"] > 0 and listing["listing_net_ns"] > 0
