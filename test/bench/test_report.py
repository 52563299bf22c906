# SPDX-License-Identifier: Apache-2.0
"""bench/report, of figures that are made up and of programs that are none."""

import json
import pathlib
import struct
import subprocess

import pytest

REPORT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "report"
FULL_NAT_1K, FULL_NAT_1M, FULL_NAT_10M = (
    "full NAT, IPv4, 1,000 sessions, in memory", "full NAT, IPv4, 1,000,000 sessions, in memory",
    "the same with 10,000,000 sessions, by that with 1,000,000")
FLOOR = "whole dataplane, generator port, 1,000,000 flows, full NAT"
BESIDE_5TSWAP = "the same, 1,000,000 flows, full NAT, beside testpmd 5tswap"
LOST = "the same: packets lost"
AF_XDP = "af_xdp on veth, iperf3's TCP (the worst of 1 and 8 streams, both directions)"
DIRECTIONS = ("1 stream to backend", "1 stream to client", "8 streams to backend",
              "8 streams to client")


def report(*words):
    return subprocess.run([REPORT, *words], capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(name="measured")
def make_measured(tmp_path):
    directory = tmp_path / "measured"
    directory.mkdir()
    put(directory, "machine", {"date": "2020-02-02 12:00 UTC", "processor": "Abacus"})
    return directory


def put(directory, name, content):
    (directory / f"{name}.json").write_text(json.dumps(content))


def google(cases):
    """As Google Benchmark writes it; cases: {name: counters}."""
    return {"context": {}, "benchmarks": [
        {"name": f"{name}/iterations:40/manual_time", "run_type": "iteration", "real_time": 1.5,
         "time_unit": "us", **counters} for name, counters in cases.items()]}


def pipeline(**ns):
    """ns of full NAT, by sessions."""
    return google({f"SteadyState/full_nat_ipv4/{sessions.strip('_')}":
                   {"ns_per_packet": figure, "ns_per_line": 10.0, "ratio": figure / 10}
                   for sessions, figure in ns.items()})


def run_rows(flows=1_000_000, frame_bytes=64, faults="", **others):
    costs = {"testpmd 5tswap": 25.0, "steelyard": 50.0}
    return [{"machine": "Abacus", "bench": "run", "flows": flows, "frame_bytes": frame_bytes,
             "program": program, "set_up_ns": 20 * ns, "mpps": 5.0, "ns": ns + 20,
             "generator_ns": 20.0, "net_ns": ns, "times_5tswap": 25.0 / ns, "faults": faults, **others}
            for program, ns in costs.items()]


def veth_rows(worst):
    rates = [{"measure": f"TCP, {direction}", "unit": "Mbit/s", "steelyard": 950.0,
              "testpmd_io": 1000.0, "ratio": 0.95} for direction in DIRECTIONS]
    rates[2]["ratio"] = worst
    trips = [{"measure": f"{what}, {percent}%", "unit": "µs", "steelyard": 30.0 + percent,
              "testpmd_io": 20.0 + percent, "added": 10.0}
             for what in ("round trip", "under load") for percent in (50, 90, 99, 99.9)]
    return [{"bench": "veth", "port_driver": "af_xdp", **row} for row in rates + trips]


def write(measured):
    into = measured.parent / "written"
    result = report("write", "--from", measured, "--into", into)
    assert result.returncode == 0, result.stderr
    return into


def judgements(into):
    """{what: what is said of it}"""
    text = (into / "README.md").read_text().partition("## Bars")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {what: judgement for what, *_, judgement in rows[2:]}


def size_of(png):
    """In pixels: what follows the signature and the first chunk's length and name."""
    head = png.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR"
    return struct.unpack(">II", head[16:])


def test_bars_are_met_missed_or_not_measured(measured):
    put(measured, "pipeline_bench", pipeline(_1000=30.0, _1000000=55.1))
    put(measured, "run_flows", run_rows())
    put(measured, "veth", veth_rows(worst=0.89))
    said = judgements(write(measured))
    assert said[FULL_NAT_1K] == "met"
    assert said[FULL_NAT_1M] == "**missed**"
    assert said[FULL_NAT_10M] == "not measured"
    assert said[FLOOR] == "met"
    assert said[BESIDE_5TSWAP] == "met"
    assert said[AF_XDP] == "**missed**"
    assert set(said.values()) == {"met", "**missed**", "not measured"}


def test_bar_by_another_figure(measured):
    put(measured, "pipeline_bench", pipeline(_1000000=50.0, _10000000=66.0))
    assert judgements(write(measured))[FULL_NAT_10M] == "**missed**"
    put(measured, "pipeline_bench", pipeline(_1000000=50.0, _10000000=64.0))
    assert judgements(write(measured))[FULL_NAT_10M] == "met"


def test_lost_packets_meet_no_bar(measured):
    put(measured, "run_flows", run_rows(faults="lost from clients: 32"))
    into = write(measured)
    assert judgements(into)[FLOOR] == "not measured"
    assert "lost from clients: 32" in (into / "README.md").read_text()


def test_changes_among_all_the_services(measured):
    def said_of(services, lost):
        put(measured, "changes_10000_services", [
            {"change": change, "services": services, "live_ms": 9.0, "changed_lost": lost, "faults": 0}
            for change in ("weight changed", "weight changed back", "whole, added")])
        return judgements(write(measured))

    assert said_of(10_000, lost=0)[LOST] == "met"
    assert said_of(10_000, lost=1)[LOST] == "**missed**"
    assert said_of(100, lost=0)[LOST] == "not measured"


def test_half_a_file_is_not_measured(measured):
    (measured / "pipeline_bench.json").write_text('{"context": {}, "benchmarks": [')
    assert judgements(write(measured))[FULL_NAT_1K] == "not measured"


def test_plots(measured):
    put(measured, "pipeline_bench", pipeline(_1000=30.0, _1000000=55.0))
    put(measured, "run_flows", run_rows(flows=1000) + run_rows())
    put(measured, "run_64_bytes", run_rows())
    put(measured, "run_1518_bytes", run_rows(frame_bytes=1518))
    put(measured, "veth", veth_rows(worst=0.9))
    put(measured, "local_port_bench", google({
        f"ChoosePort/ipv4/percent:{percent}": {"ns_per_choice": 100.0 + percent,
                                               "ns_at_1_percent": 101.0, "ratio": 1.5}
        for percent in (1, 50, 90)}))
    into = write(measured)
    text = (into / "README.md").read_text()
    plots = {png.stem: size_of(png) for png in into.glob("*.png")}
    assert set(plots) == {"pipeline", "throughput_by_sessions", "throughput_by_frame_size", "latency",
                          "set_up", "port_choice"}
    for name, (width, height) in plots.items():
        assert f"({name}.png)" in text
        assert 400 <= width <= 2000 and 300 <= height <= 1000
    assert "Not measured: throughput against workers" in text
    assert "Abacus" in text and "2020-02-02" in text


def test_workers_if_there_is_something_of_them(measured):
    put(measured, "run_workers", run_rows(workers=1) + run_rows(workers=2))
    into = write(measured)
    assert size_of(into / "throughput_by_workers.png")
    text = (into / "README.md").read_text()
    assert "## Throughput against workers" in text
    assert "Not measured: throughput against workers" not in text


def test_failing_benchmark_is_named_and_stops_no_other(tmp_path):
    build = tmp_path / "build"
    program(build, "worker/handoff_bench", "echo 'no such core: 17'; exit 3")
    program(build, "net/checksum_bench",
            """echo '{"benchmarks": []}' >"${1#--benchmark_out=}" """)
    measured = tmp_path / "measured"
    result = report("measure", "--into", measured, "--build", build, "--only", "parser_bench",
                    "handoff_bench", "checksum_bench")
    assert result.returncode == 1, result.stderr
    outcomes = json.loads((measured / "measured.json").read_text())
    assert {name: bool(outcome["failure"]) for name, outcome in outcomes.items()} == {
        "parser_bench": True, "checksum_bench": False, "handoff_bench": True}
    text = (write(measured) / "README.md").read_text()
    failed = text.partition("## Failed")[2].partition("\n## ")[0]
    assert "`worker/handoff_bench`: exit status 3" in failed and "no such core: 17" in failed
    assert "`net/parser_bench`: not started" in failed
    assert "checksum_bench" not in failed
    assert str(tmp_path) not in text


def program(build, path, script):
    file = build / "bench" / path
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
