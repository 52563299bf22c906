# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of this folder share: programs that poll the same core get it by turns, each
stopped while another runs, and what they did there is told as medians, side by side.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test"))

# pylint: disable=wrong-import-position
from topology import sweep
from topology.shell import run, wait_until
from topology.wire import PACKET_MEMORY_MIB, SIDES

MODES = ("io", "macswap", "5tswap", "csum")  # of testpmd
SETTLE_S = 0.1
LEAST_SHARE = 0.25
FIGURES_INTERVAL_S = 0.001
FIGURES_TIMEOUT_S = 30
PAGE_MIB = 2
BYTES_A_SESSION = 192 + 320  # of either family; there is room for as many of both
SPARE_MIB = 256
MEMINFO = pathlib.Path("/proc/meminfo")
POOL = pathlib.Path("/proc/sys/vm/nr_hugepages")


def argument_parser(name, description):
    """With the arguments that all have."""
    parser = argparse.ArgumentParser(prog=f"bench/wire/{name}", description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=("tcp", "udp"), default="tcp")
    parser.add_argument("--family", type=int, choices=(4, 6), default=4)
    parser.add_argument("--modes", nargs="*", choices=MODES, default=MODES,
                        help="of testpmd, beside our dataplane")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--turn-s", type=float, default=0.5)
    parser.add_argument("--plain-memory", action="store_true", help="no huge pages")
    parser.add_argument("--build", type=lambda text: pathlib.Path(text).resolve(),
                        default=ROOT / "build-release", metavar="DIR",
                        help="a release build with -Dbench=true [build-release]")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE",
                        help="also write the rows there, as a list of flat objects")
    return parser


@contextlib.contextmanager
def run_of_its_own():
    """A folder for files; what the run made is removed, however it ends."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    sweep.sweep_leftovers()
    directory = sweep.run_directory(os.getpid())
    directory.mkdir()
    try:
        yield directory
    finally:
        sweep.remove_run(os.getpid())


def machine(options):
    model = next((line.partition(":")[2].strip()
                  for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown processor")
    version = run(["pkg-config", "--modversion", "libdpdk"], check=False).stdout.strip()
    return (f"{model}, {len(os.sched_getaffinity(0))} cores, Linux {os.uname().release}, "
            f"DPDK {version}, load {os.getloadavg()[0]:.1f}; "
            f"{'plain memory' if options.plain_memory else 'huge pages of 2 MiB'}")


def cores():
    """The main thread's and the one that polls."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def box_mib(sessions):
    """Memory of our dataplane on ports that keep no packets."""
    return PACKET_MEMORY_MIB + sessions * BYTES_A_SESSION * 3 // 2 // 2**20 + SPARE_MIB


def huge_pages(stack, mib):
    """Reserves them until the stack ends; returns a mount of their file system."""
    pages = mib // PAGE_MIB
    before = int(POOL.read_text())
    POOL.write_text(str(before + pages))
    had = int(POOL.read_text()) - before
    stack.callback(give_back, had)
    if had < pages:
        sys.exit(f"{sys.argv[0]}: {mib} MiB of huge pages are not to be had: --plain-memory")
    mount = pathlib.Path(f"/dev/shm/steelyard-{os.getpid()}-huge")
    mount.mkdir()
    stack.callback(mount.rmdir)
    run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", mount])
    stack.callback(run, ["umount", mount])
    return mount


def give_back(pages):
    """Others may have reserved and given back in between."""
    POOL.write_text(str(max(0, int(POOL.read_text()) - pages)))


def require_memory(mib, what):
    """Refuses what the machine has no memory for, before it begins to swap or kill."""
    line = next(line for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable"))
    available_mib = int(line.split()[1]) // 1024
    if mib > available_mib:
        sys.exit(f"{sys.argv[0]}: {what} needs {mib} MiB of memory, {available_mib} are available")


def pause(programs):
    for program in programs:
        program.signal(signal.SIGSTOP)


def resume(programs):
    for program in programs:
        if program.running:
            program.signal(signal.SIGCONT)


def watch_turn(reads, seconds):
    """What each of reads, functions that return figures, says at the beginning and at the end of a turn
    of what runs already. On a busy machine it is over later: when all had their core for a good part."""
    time.sleep(SETTLE_S)
    first = [_read_now(read) for read in reads]
    time.sleep(seconds)
    least_cpu_ns = LEAST_SHARE * seconds * 1e9
    return [(figures, _read_now(read, figures["cpu_ns"] + least_cpu_ns))
            for figures, read in zip(first, reads)]


def _read_now(read, cpu_ns=0):
    """Who writes the figures may have to wait for the main core."""
    now_ns = time.monotonic_ns()

    def read_if_new():
        figures = read()
        is_new = figures and figures["time_ns"] >= now_ns and figures["cpu_ns"] >= cpu_ns
        return figures if is_new else None

    return wait_until(read_if_new, "the core has been had", FIGURES_TIMEOUT_S, FIGURES_INTERVAL_S)


def require_packets(count, name):
    """A turn without any has no figures."""
    if count == 0:
        sys.exit(f"{sys.argv[0]}: nothing came through {name} in a whole turn")


def costs_between(first, last):
    """From one reading of the generator to the next."""
    packets = sum(last[side]["received"] - first[side]["received"] for side in SIDES)
    return costs({key: last[key] - first[key] for key in ("time_ns", "cpu_ns", "generator_ns")},
                 packets)


def costs(spent, count):
    """Millions a second, and the nanoseconds of processor time of each one and of the generator in
    that. The generator's share is measured by the clock, which goes on while another process has
    the core."""
    cpu_ns = spent["cpu_ns"] / count
    generator_ns = cpu_ns * spent["generator_ns"] / spent["time_ns"]
    return {"mpps": 1e3 * count / spent["time_ns"], "ns": cpu_ns, "generator_ns": generator_ns,
            "net_ns": cpu_ns - generator_ns}


class Result:
    """What one program did: a turn's figures by their names, what was measured but once, and faults.
    """

    def __init__(self, name):
        self.name = name
        self.turns = []
        self.once = {}
        self.faults = {}

    def row(self):
        return {"program": self.name, **self.once,
                **{key: statistics.median(turn[key] for turn in self.turns)
                   for key in self.turns[0]}}

    def faults_text(self):
        return ", ".join(f"{name}: {count}" for name, count in self.faults.items())


def ratio_key(other):
    return f"times_{other.name.split()[-1]}"


class Report:
    """Tables on standard output, and all their rows in a file if there is to be one."""

    def __init__(self, options):
        self._options = options
        self._machine = machine(options)
        self._rows = []
        self.has_faults = False
        print(self._machine)

    def add(self, title, traffic, results, columns, ratio_of):
        """columns: {key of a row: (heading, format)}. The last result is ours: it and all others are
        compared with every other by ratio_of(row, other's row). Returns the rows."""
        others = results[:-1]
        rows = [result.row() for result in results]
        for row in rows:
            row.update({ratio_key(other): ratio_of(row, of_other)
                        for other, of_other in zip(others, rows)})
        self._rows += [{"machine": self._machine, **traffic, **row, "faults": result.faults_text()}
                       for row, result in zip(rows, results)]
        self.has_faults |= any(result.faults for result in results)
        columns = columns | {ratio_key(other): (f"/ {other.name.split()[-1]}", ".2f")
                             for other in others}
        print(f"\n{title}\n{'':17}" + "".join(f"{heading:>11}" for heading, _ in columns.values()))
        for row, result in zip(rows, results):
            print(f"{result.name:17}" + "".join(f"{row[key]:11{form}}"
                                                for key, (_, form) in columns.items()))
            if result.faults:
                print(f"  FAULTS: {result.faults_text()}")
        sys.stdout.flush()
        self._write()
        return rows

    def _write(self):
        """After each table, so that an interrupted run leaves what it has measured."""
        if self._options.json:
            self._options.json.write_text(json.dumps(self._rows, indent=1) + "\n")
