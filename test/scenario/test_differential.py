# SPDX-License-Identifier: Apache-2.0
"""The kernel's nftables NAT and ours get the same random traffic; what arrives must be the same.

A run is repeated by its seed: STEELYARD_DIFFERENTIAL_SEED=<what the failure says>. Any other value
makes another run.
"""

import os
import random

import pytest
import traffic
from conftest import BUILD_DIR
from differential.bench import KernelBench, SteelyardBench
from differential.canonical import quoted_ip, read_ip
from differential.expected import EXPECTED
from differential.run import Run
from topology import sweep_leftovers

SEED_VARIABLE = "STEELYARD_DIFFERENTIAL_SEED"
SEED = os.environ.get(SEED_VARIABLE, "steelyard")
CONVERSATIONS = 400
CONVERSATIONS_OF_SELF_TEST = 100
SHOWN_DIFFERENCES = 5
MODES = pytest.mark.parametrize("mode", ("dnat", "snat"))
FAMILIES = pytest.mark.parametrize("family", (4, 6))


@pytest.fixture
def kernel():
    """A new one for every test: it remembers connections, and the same seed makes the same."""
    sweep_leftovers()
    with KernelBench("kernel", os.getpid()) as bench:
        yield bench


@pytest.fixture
def kernel_of_random_ports():
    with KernelBench("kernel2", os.getpid(), ports="fully-random") as bench:
        yield bench


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    with SteelyardBench("ours", os.getpid(), BUILD_DIR,
                        tmp_path_factory.mktemp("differential") / "box") as bench:
        yield bench


class Spoiling:
    """A bench that changes one bit of one packet in every batch."""

    def __init__(self, bench):
        self._bench = bench
        self._rng = random.Random(SEED)
        self.name = bench.name
        self.spoilt = 0

    def exchange(self, batch):
        arrivals = self._bench.exchange(batch)
        whole = [index for index, (_, frame) in enumerate(arrivals)
                 if not read_ip(frame).is_fragment]
        if whole:
            index = self._rng.choice(whole)
            arrivals[index] = (arrivals[index][0], self._spoil(arrivals[index][1]))
            self.spoilt += 1
        return arrivals

    def _spoil(self, frame):
        """Not in an address or a port: they tell whose packet it is."""
        ip = read_ip(frame)
        ttl = ip.start + (8 if ip.version == 4 else 7)
        behind_ports = (quoted_ip(frame, ip) or ip).l4 + 6
        at = self._rng.choice((ttl, *range(behind_ports, ip.end)))
        return frame[:at] + bytes((frame[at] ^ 1 << self._rng.randrange(8),)) + frame[at + 1:]


@MODES
@FAMILIES
def test_kernel_is_like_itself(kernel, kernel_of_random_ports, mode, family):
    """No difference at all, although the second one lends other ports."""
    run = Run((kernel, kernel_of_random_ports), mode, family, SEED,
              CONVERSATIONS_OF_SELF_TEST).run()
    assert not run.differences, report(run, run.differences)
    assert run.passed > run.steps / 2, "hardly anything arrived"


@MODES
@FAMILIES
def test_one_changed_bit_is_seen(kernel, kernel_of_random_ports, mode, family):
    spoiling = Spoiling(kernel_of_random_ports)
    run = Run((kernel, spoiling), mode, family, SEED, CONVERSATIONS_OF_SELF_TEST).run()
    seen = len({id(difference.step) for difference in run.differences})
    assert seen == spoiling.spoilt > 0, report(run, run.differences)


@MODES
@FAMILIES
def test_ours_is_like_the_kernel(kernel, ours, mode, family):
    """Each difference has a row in differential/expected.py, and each row a difference."""
    run = Run((kernel, ours), mode, family, SEED, CONVERSATIONS).run()
    traffic.assert_verdicts_add_up(ours.daemons)
    met, unexpected = set(), []
    for difference in run.differences:
        rows = [row for row in EXPECTED if row.explains(difference, mode, family)]
        met.update(row.name for row in rows)
        if not rows:
            unexpected.append(difference)
    assert not unexpected, report(run, unexpected)
    stale = {row.name for row in EXPECTED
             if (mode, family) in row.where and not row.is_shortcoming} - met
    assert not stale, f"expected differences that do not occur any more: {sorted(stale)}"
    assert run.passed > run.steps / 2, "hardly anything arrived"


def report(run, differences):
    shown = "\n".join(difference.describe(run.names)
                      for difference in differences[:SHOWN_DIFFERENCES])
    return (f"{len(differences)} differences in {run.steps} steps, {SEED_VARIABLE}={SEED}\n{shown}")
