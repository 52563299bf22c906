# SPDX-License-Identifier: Apache-2.0
"""conf/demo/run, as a person would run it."""

import os
import re
import signal
import subprocess

import pytest
from conftest import BUILD_DIR, TEST_DIR

from topology.shell import run, wait_until
from topology.sweep import run_cgroup, run_directory

DEMO = TEST_DIR.parent / "conf" / "demo" / "run"
ENVIRONMENT = {**os.environ, "STEELYARD_BUILD_DIR": str(BUILD_DIR)}
LIMIT_S = 120


def leftovers(pid):
    return ([line for line in run(["ip", "netns", "list"]).stdout.splitlines()
             if line.startswith(f"sy{pid}-")]
            + [path for path in (run_directory(pid), run_cgroup(pid)) if path.exists()])


def start_demo(*arguments):
    # bash becomes Python in the end, so the process id is the one in the names.
    return subprocess.Popen([DEMO, *arguments], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("mode", ("full_nat", "dnat", "tunnel", "direct"))
def test_demo_shows_every_request_and_leaves_nothing(mode):
    with start_demo("--mode", mode) as demo:
        output, _ = demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == 0, output
    assert len(re.findall(r"answered by backend\d.*nginx logged 10\.0\.1\.2  ok", output)) == 6
    assert len(re.findall(r"answered by backend\d.*nginx logged fd00:1::2  ok", output)) == 6
    assert not leftovers(demo.pid)


def test_demo_of_an_outbound_gateway():
    with start_demo("--mode", "snat") as demo:
        output, _ = demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == 0, output
    for outside in (r"10\.0\.1\.100", "fd00:1::100"):
        assert len(re.findall(rf"backend\d to .*nginx logged {outside}  ok", output)) == 3, output
    assert not leftovers(demo.pid)


def test_interrupted_demo_leaves_nothing():
    with start_demo() as demo:
        wait_until(lambda: leftovers(demo.pid), "the demo makes its network", LIMIT_S)
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=30)
    assert demo.returncode == 128 + signal.SIGINT
    assert not leftovers(demo.pid)


def test_kept_demo_stays_until_ended():
    with start_demo("--keep", "--backends", "1") as demo:
        output, _ = demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == 0, output
    try:
        answer = run(["ip", "netns", "exec", f"sy{demo.pid}-client", "curl", "-sS", "--max-time",
                      "5", "http://10.0.1.10/"]).stdout
        assert answer == "backend1 10.0.1.2\n"
    finally:
        run([DEMO, "--end", demo.pid])
    assert not leftovers(demo.pid)
