# SPDX-License-Identifier: Apache-2.0
"""bench/wire/veth: its shortest run tells everything about both programs, or says what went wrong."""

import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from conftest import BUILD_DIR, TEST_DIR, skip_without_af_xdp
from test_demo import leftovers

BENCH = TEST_DIR.parent / "bench" / "wire" / "veth"
LIMIT_S = 180
TCP = {f"TCP, {streams} to {side}" for streams in ("1 stream", "8 streams")
       for side in ("backend", "client")}
RATES = TCP | {"HTTP, connections kept", "HTTP, a connection each", "load that arrives"}
TIMES = {f"{what}, {percent}%" for what in ("round trip", "under load")
         for percent in (50, 90, 99, 99.9)}
LOSSES = {f"{name}, resent" for name in TCP} | {"round trip, lost", "under load, lost"}


def start_bench(port_driver, *arguments, **settings):
    return subprocess.Popen([BENCH, "--build", BUILD_DIR, "--port-driver", port_driver, "--turns", "1",
                             "--turn-s", "1", *arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings)


def assert_nothing_is_left(pid):
    assert not leftovers(pid)
    assert not list(pathlib.Path("/run/dpdk").glob(f"sy{pid}-*"))


@pytest.mark.parametrize("port_driver, mode", (("af_xdp", "full_nat"), ("af_packet", "dnat")))
def test_every_row_has_figures_of_both(tmp_path, port_driver, mode):
    if port_driver == "af_xdp":
        skip_without_af_xdp()
    written = tmp_path / "rows.json"
    with start_bench(port_driver, "--mode", mode, "--json", written) as bench:
        output, _ = bench.communicate(timeout=LIMIT_S)
    assert bench.returncode == 0, output
    rows = {row["measure"]: row for row in json.loads(written.read_text())}
    assert set(rows) == RATES | TIMES | LOSSES
    for name, row in rows.items():
        assert (row["port_driver"], row["mode"], row["turn_s"]) == (port_driver, mode, 1)
        ours, yardstick = row["steelyard"], row["testpmd_io"]
        if name in LOSSES:
            assert 0 <= min(ours, yardstick) and max(ours, yardstick) < 100, row
        else:
            assert min(ours, yardstick) > 0, row
        if name in RATES:
            assert row["ratio"] == pytest.approx(ours / yardstick)
        else:
            assert row["added"] == pytest.approx(ours - yardstick)
        assert f"\n{name} " in output
    assert_nothing_is_left(bench.pid)


def test_a_failed_iperf3_is_told(tmp_path):
    """As a client, it asks a port where nobody listens."""
    impostor = tmp_path / "iperf3"
    impostor.write_text('#!/bin/sh\ncase "$*" in *--client*) set -- "$@" --port 1;; esac\n'
                        f'exec {shutil.which("iperf3")} "$@"\n')
    impostor.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with start_bench("af_packet", env=environment) as bench:
        output, _ = bench.communicate(timeout=LIMIT_S)
    assert bench.returncode == 1, output
    assert "bench/wire/veth: iperf3 through steelyard: unable to connect to server" in output
    assert "Traceback" not in output
    assert_nothing_is_left(bench.pid)


def test_an_interrupted_run_leaves_nothing():
    """At any time one of the programs is stopped, and must end nevertheless."""
    with start_bench("af_packet") as bench:
        next(line for line in bench.stdout if line.startswith("TCP"))
        bench.send_signal(signal.SIGINT)
        bench.communicate(timeout=LIMIT_S)
    assert bench.returncode == -signal.SIGINT
    assert_nothing_is_left(bench.pid)
