# SPDX-License-Identifier: Apache-2.0
"""How long a polling thread took from each poll to the next, of the generator's figures
(bench/wire/poll_gaps.h): collections.Counters of gaps in nanoseconds."""

import collections

CLOCKS = ("processor_ns", "clock_ns")


def gaps_of(figures, clock):
    """All since the generator began. clock: one of CLOCKS."""
    gaps = collections.Counter()
    for gap_ns, count in figures["poll_gaps"][clock]:
        gaps[gap_ns] += count
    return gaps


def gaps_between(first, last, clock):
    """Those of the time between two readings."""
    return gaps_of(last, clock) - gaps_of(first, clock)


def longest(gaps):
    """0 where no poll has ended."""
    return max(gaps, default=0)


def quantile(gaps, share):
    """What that share of the gaps is no longer than."""
    left = share * gaps.total()
    for gap in sorted(gaps):
        left -= gaps[gap]
        if left <= 0:
            return gap
    return longest(gaps)
