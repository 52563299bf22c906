# SPDX-License-Identifier: Apache-2.0
"""What every scenario stands on: a topology that lives as long as tests want the same one.

A test asks for the fixture `topology` and meets all programs running, with whatever services the
test before left: it applies its own. The mark `boxes` names other boxes than the default to run on.
After every test the dataplane's counters must add up.

To add a scenario: a file test_NAME.py here whose tests take `topology`; nothing else lists it.
"""

import hashlib
import os
import pathlib
import signal
import socket
import sys

import pytest

TEST_DIR = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TEST_DIR))

# pylint: disable=wrong-import-position
import guest
import topology as nodes

import traffic

BUILD_DIR = pathlib.Path(os.environ.get("STEELYARD_BUILD_DIR", TEST_DIR.parent / "build")).resolve()

DEFAULT_BOX = "af_packet"
MANY_WORKERS = (("af_packet", 2, 2), ("af_packet", 4, 1), ("af_packet", 8, 8),
                ("af_xdp", 2, 2), ("af_xdp", 4, 4), ("af_xdp", 8, 1),
                ("memif", 1, 1), ("memif", 2, 1), ("memif", 4, 4), ("memif", 8, 2))
BOXES = {
    "af_packet": {"port_driver": "af_packet", "narrow_links": True},
    "af_xdp": {"port_driver": "af_xdp"},
    "one_arm": {"arms": 1, "narrow_links": True},
    "guest": {"in_guest": True, "workers": 1},
    "guest_of_two": {"in_guest": True, "workers": 2, "huge_pages": True},
    "guest_of_two_nodes": {"in_guest": True, "workers": 1, "huge_pages": True, "numa_nodes": 2},
    "guest_of_four": {"in_guest": True, "workers": 4},
    # Driver, workers, queues of each port.
    **{f"{driver}-{workers}-{queues}": {"port_driver": driver, "workers": workers,
                                        "queues": queues, "backends": 2}
       for driver, workers, queues in MANY_WORKERS},
}
AF_XDP = 44


def pytest_configure(config):
    config.addinivalue_line("markers", f"boxes(*names): run once on each of {', '.join(BOXES)}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def pytest_generate_tests(metafunc):
    if "topology" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("boxes")
        names = mark.args if mark else (DEFAULT_BOX,)
        metafunc.parametrize("topology", names, indirect=True, scope="session")


def pytest_collection_modifyitems(items):
    """Those without a topology of ours first (the demo makes its own), then one box's tests after
    the other's: two boxes would fight for the cores."""
    order = [None, *BOXES]
    items.sort(key=lambda item: order.index(_box_of(item)))


def _box_of(item):
    return item.callspec.params.get("topology") if hasattr(item, "callspec") else None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    topology = getattr(item, "funcargs", {}).get("topology")
    if report.failed and topology is not None:
        for program in (topology.box.dataplane, topology.box.controlplane):
            report.sections.append((f"end of {program.name}'s output", program.log_tail()))


def skip_without_af_xdp():
    try:
        socket.socket(AF_XDP, socket.SOCK_RAW).close()
    except OSError as error:
        pytest.skip(f"this kernel has no AF_XDP sockets: {error}")


@pytest.fixture(scope="session")
def topology(request):
    """The nodes, with everything running, for as long as tests want this box."""
    settings = dict(BOXES[request.param])
    if settings.get("port_driver") == "af_xdp":
        skip_without_af_xdp()
    nodes.sweep_leftovers()
    kind = guest.GuestTopology if settings.pop("in_guest", False) else nodes.Topology
    with kind(BUILD_DIR, **settings) as made:
        yield made


@pytest.fixture(autouse=True)
def everything_runs_and_adds_up(request):
    """Before: what an earlier test ended is started again. After: every packet has one verdict."""
    if "topology" not in request.fixturenames:
        yield
        return
    made = request.getfixturevalue("topology")
    made.restore()
    yield
    made.detach_toa()
    traffic.assert_verdicts_add_up(made.box)
    traffic.assert_sessions_are_at_home(made.box)


@pytest.fixture(scope="session")
def large_file(tmp_path_factory):
    """1 GiB to download: its path outside every topology, and its SHA-256."""
    path = tmp_path_factory.mktemp("large") / "large"
    digest = traffic.write_large_file(path)
    yield path, digest
    path.unlink()


@pytest.fixture(scope="session")
def content():
    """10 MB to transfer, no two blocks of it alike."""
    return b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest()
                    for number in range(10_000_000 // 32))
