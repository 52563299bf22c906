# SPDX-License-Identifier: Apache-2.0
"""What a packet of an established session may cost, counted under valgrind, so that no noise of a
machine can break it or hide anything. budget.json says how much; who makes the pipeline cheaper
lowers it there, who has to make it dearer raises it and says in the commit what for.
"""

import json
import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILD_DIR = pathlib.Path(os.environ.get("STEELYARD_BUILD_DIR", HERE.parents[1] / "build"))
BUDGETS = json.loads((HERE / "budget.json").read_text(encoding="utf-8"))
# The caches of no machine in particular, but always the same: 32 KiB, and 1 MiB behind.
CACHES = ("--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64")
# For other versions of compiler and C library; downwards three times as much.
TOLERANCE = 0.03
SMALL = 0.1


def count(case, directory):
    """Events a packet, by callgrind's names: Ir, DLmr, ..."""
    out = directory / "callgrind.out"
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--cache-sim=yes", *CACHES,
         f"--callgrind-out-file={out}", BUILD_DIR / "bench" / "core" / "pipeline_count",
         case["mode"], *(str(case[name]) for name in ("family", "sessions", "runs"))],
        capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    if "unoptimized" in done.stdout:
        pytest.skip("the build is not optimized")
    packets = int(re.search(r"(\d+) packets", done.stdout).group(1))
    text = out.read_text(encoding="utf-8")
    names = re.search(r"^events: (.*)$", text, re.MULTILINE).group(1).split()
    totals = re.search(r"^(?:totals|summary): (.*)$", text, re.MULTILINE).group(1).split()
    return {name: int(total) / packets for name, total in zip(names, totals)}


@pytest.mark.parametrize("case", BUDGETS, ids=lambda case: case["name"])
def test_a_packet_costs_no_more_than_its_budget(case, tmp_path):
    events = count(case, tmp_path)
    counted = {"instructions": events["Ir"],
               "last_level_misses": events["ILmr"] + events["DLmr"] + events["DLmw"]}
    print(counted)
    for name, value in counted.items():
        budget = case[name]
        assert value <= budget * (1 + TOLERANCE), f"{name}: {value:.3f} a packet, {budget} allowed"
        assert value >= budget * (1 - 3 * TOLERANCE) or budget < SMALL, (
            f"{name}: {value:.3f} a packet is much less than {budget}: lower it in budget.json")
