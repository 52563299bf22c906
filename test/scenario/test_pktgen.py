# SPDX-License-Identifier: Apache-2.0
"""The scripts of bench/pktgen: against a model of Pktgen, which Debian has not, and, for testpmd's part,
for real."""

import pathlib
import re
import subprocess

import pytest
from conftest import BUILD_DIR

TEST_DIR = pathlib.Path(__file__).resolve().parent
PKTGEN = TEST_DIR.parents[1] / "bench" / "pktgen"
LINE_PPS_OF_64 = 10e9 / ((64 + 20) * 8)
LINE_PPS_OF_1518 = 10e9 / ((1518 + 20) * 8)
ANY_CAPACITY = (40_000, 777_777, 1_000_000, 8_000_000, 14_000_000)


def run_script(name, capacity_pps, directory, **bed):
    """Returns the results: rows of numbers, and the commands that Pktgen was given."""
    results = directory / "results.txt"
    own = directory / "bed.lua"
    settings = {"trial_s": 60, "warm_up_s": 1, **bed}
    own.write_text("return {" + "".join(f"{key} = {value}, " for key, value in settings.items())
                   + f'results = "{results}"}}')
    output = subprocess.run(
        ["lua5.3", TEST_DIR / "pktgen_model.lua", PKTGEN / name, str(capacity_pps)],
        env={"STEELYARD_BED": str(own)}, capture_output=True, text=True, check=False)
    assert output.returncode == 0, output.stderr
    rows = [[float(word) for word in line.split()] for line in results.read_text().splitlines()
            if re.fullmatch(r"[\s\d.]+", line)]
    return rows, re.findall(r"^> (.*)$", output.stdout, re.MULTILINE)


@pytest.mark.parametrize("capacity_pps", ANY_CAPACITY)
def test_search_finds_what_the_box_can(tmp_path, capacity_pps):
    resolution = 0.1
    rows, _ = run_script("rfc2544.lua", capacity_pps, tmp_path, frame_bytes="{64, 1518}",
                         resolution_percent=resolution)
    for (frame_bytes, percent, pps, _), line_pps in zip(rows, (LINE_PPS_OF_64, LINE_PPS_OF_1518),
                                                        strict=True):
        if capacity_pps >= line_pps:
            assert percent == 100
        else:
            assert pps <= capacity_pps
            assert capacity_pps - pps <= line_pps * (resolution + 0.01) / 100, frame_bytes


def test_search_says_when_nothing_passes(tmp_path):
    assert run_script("rfc2544.lua", 1000, tmp_path, frame_bytes="{64}") == ([], [])
    assert "none that passed" in (tmp_path / "results.txt").read_text()


def test_tolerated_loss_is_no_failure(tmp_path):
    """A box of half the line passes at 1/(1 - 20%) of that, when 20% may be lost."""
    rows, _ = run_script("rfc2544.lua", LINE_PPS_OF_64 / 2, tmp_path, frame_bytes="{64}",
                         loss_tolerance_percent=20, resolution_percent=0.1)
    assert 62.3 <= rows[0][1] <= 62.5


def test_throughput_by_frame_size(tmp_path):
    rows, _ = run_script("throughput.lua", 2_000_000, tmp_path, frame_bytes="{64, 1518}")
    assert [row[0] for row in rows] == [64, 1518]
    (_, offered, received, _, loss), (_, _, of_long, gigabits, no_loss) = rows
    assert offered == pytest.approx(LINE_PPS_OF_64, rel=1e-3)
    assert received == pytest.approx(2_000_000, rel=1e-3)
    assert loss == pytest.approx(100 * (1 - received / offered), abs=0.01)
    assert of_long == pytest.approx(LINE_PPS_OF_1518, rel=1e-3)
    assert (gigabits, no_loss) == (10, 0)


def test_imix_has_the_sizes_of_the_bed(tmp_path):
    rows, commands = run_script("imix.lua", 1_000_000, tmp_path)
    sizes = [int(command.split()[-1]) for command in commands]
    assert sorted(sizes) == [64] * 7 + [594] * 4 + [1518]
    assert [command.split()[1] for command in commands] == [str(index) for index in range(12)]
    assert len({command.split()[6] for command in commands}) == 12  # as many flows
    assert [row[0] for row in rows] == [10, 25, 50, 75, 100]


def test_connections_stop_where_the_box_does(tmp_path):
    rows, commands = run_script("connections.lua", 100_000, tmp_path,
                                ramp_percent="{0.1, 0.5, 1, 2}")
    assert [row[0] for row in rows] == [0.1, 0.5, 1]
    assert [row[-1] for row in rows[:2]] == [0, 0]
    assert rows[2][3] < rows[2][2] <= 24576
    assert commands[:2] == ["range 0 tcp flag clr ack", "range 0 tcp flag set syn"]


def test_an_unknown_key_of_the_bed_is_refused(tmp_path):
    with pytest.raises(AssertionError, match="there is no trail_s in bed.lua"):
        run_script("throughput.lua", 1, tmp_path, trail_s=1)


def test_testpmd_in_pktgens_place():
    output = subprocess.run([PKTGEN / "run", "--build", BUILD_DIR, "--trial-s", "1", "--sessions",
                             "8192", "--frame-bytes", "64", "1518"],
                            capture_output=True, text=True, check=False, timeout=120)
    assert output.returncode == 0, output.stderr
    rows = [line.replace(",", "").split() for line in output.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["64", "1518"]
    for _, sent, received, lost in rows:
        assert int(sent) > 0 and int(received) > 0, output.stdout
        assert float(lost[:-1]) == pytest.approx(100 * (1 - int(received) / int(sent)), abs=0.1)
