# SPDX-License-Identifier: Apache-2.0
"""Runs the test suites and counts single tests. Called by test/run, which builds before.

  unit      GoogleTest beside the sources; neither root nor network
  packet    GoogleTest in test/packet: packet in, packet out; neither root nor network
  budget    pytest in test/budget: instructions and cache misses a packet, counted; no root
  bench     pytest in test/bench: the benchmarks' report, of figures that are made up; no root
  scenario  pytest in test/scenario: the real programs in network namespaces; needs root

The last line printed is "N passed, N failed", and ", N skipped" if there are any. Exit status 0
only if nothing failed and every suite ran a test.

To add a suite: one function that returns its test cases, and one row in SUITES.
"""

import argparse
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

TEST_DIR = pathlib.Path(__file__).resolve().parent
BUILD_DIR = pathlib.Path(os.environ.get("STEELYARD_BUILD_DIR", TEST_DIR.parent / "build")).resolve()
OUTPUT_TAIL_CHARACTERS = 2000
OUTCOMES = ("passed", "failed", "skipped")


class Case:
    """One test: its name, one of OUTCOMES, and what it said if it failed."""

    def __init__(self, name, outcome, message=""):
        self.name = name
        self.outcome = outcome
        self.message = message


def main():
    options = parse_arguments()
    cases = []
    for name in options.suites or SUITES:
        print(f"== {name}", flush=True)
        of_suite = SUITES[name](options.filter)
        if not any(case.outcome != "skipped" for case in of_suite) and not options.filter:
            of_suite.append(Case(name, "failed", "the suite ran no test"))
        print(f"   {name}: {summary(of_suite)}", flush=True)
        cases += of_suite
    if options.filter and not cases:
        cases.append(Case("--filter", "failed", f"no test's name contains {options.filter}"))
    for case in cases:
        if case.outcome == "failed":
            print(f"\nFAILED {case.name}\n{case.message.strip()}")
    print()
    print(summary(cases))
    return 1 if any(case.outcome == "failed" for case in cases) else 0


def parse_arguments():
    parser = argparse.ArgumentParser(prog="test/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="unit|packet|budget|bench|scenario",
                        help="what to run (default: all)")
    parser.add_argument("--filter", metavar="X", help="only tests whose name contains X")
    options = parser.parse_args()
    unknown = set(options.suites) - set(SUITES)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    return options


def run_unit(name_filter):
    return run_meson_suite("unit", name_filter)


def run_packet(name_filter):
    return run_meson_suite("packet", name_filter)


def run_meson_suite(suite, name_filter):
    """meson knows the programs, GoogleTest their cases; meson's JUnit file has both."""
    log_base = f"{suite}-{os.getpid()}"
    command = ["meson", "test", "-C", str(BUILD_DIR), "--no-rebuild", "--suite",
               f"steelyard:{suite}", "--logbase", log_base, "--print-errorlogs",
               "--timeout-multiplier", "10"]
    if name_filter:
        command.append(f"--test-args=--gtest_filter=*{name_filter}*")
    # GoogleTest's files have fixed names in the build folder: one run at a time.
    with open(BUILD_DIR / ".lock", "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status = subprocess.run(command, check=False).returncode
    logs = [BUILD_DIR / "meson-logs" / f"{log_base}{ending}"
            for ending in (".junit.xml", ".json", ".txt")]
    cases = read_junit(logs[0]) + broken_programs(logs[1])
    for log in logs:
        log.unlink(missing_ok=True)
    if status != 0 and not any(case.outcome == "failed" for case in cases):
        cases.append(Case(suite, "failed", f"meson test ended with {status}; see above"))
    return cases


def broken_programs(json_log):
    """Test programs that ended without telling of their cases: out of time, or crashed."""
    if not json_log.exists():
        return []
    programs = [json.loads(line) for line in json_log.read_text(encoding="utf-8").splitlines()]
    return [Case(program["name"], "failed", f"{program['result']}; its output ends:\n"
                 + program.get("stdout", "")[-OUTPUT_TAIL_CHARACTERS:])
            for program in programs if program["result"] in ("TIMEOUT", "ERROR", "INTERRUPT")]


def run_budget(name_filter):
    return run_pytest("budget", name_filter)


def run_bench(name_filter):
    return run_pytest("bench", name_filter)


def run_scenario(name_filter):
    return run_pytest("scenario", name_filter)


def run_pytest(suite, name_filter):
    with tempfile.TemporaryDirectory(prefix="steelyard-junit-") as directory:
        junit = pathlib.Path(directory) / f"{suite}.xml"
        command = ["/usr/bin/python3", "-B", "-m", "pytest", str(TEST_DIR / suite), "-v",
                   "--tb=short", "--no-header", "-p", "no:cacheprovider", f"--junitxml={junit}"]
        if name_filter:
            command += ["-k", name_filter]
        status = run_forwarding_signals(command)
        cases = read_junit(junit)
    nothing_selected = status == 5 and name_filter
    if status != 0 and not nothing_selected and not any(c.outcome == "failed" for c in cases):
        cases.append(Case(suite, "failed", f"pytest ended with {status}; see above"))
    return cases


def run_forwarding_signals(command):
    """pytest takes its network down by itself when told to end: told once, and waited for."""
    with subprocess.Popen(command, start_new_session=True) as process:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

        def forward(number, _frame):
            for other in numbers:
                signal.signal(other, signal.SIG_IGN)
            process.send_signal(number)

        before = {number: signal.signal(number, forward) for number in numbers}
        status = process.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return status


def read_junit(path):
    if not path.exists():
        return []
    return [case_of(element) for element in ElementTree.parse(path).iter("testcase")]


def case_of(element):
    name = f"{element.get('classname')}.{element.get('name')}"
    for tag in ("failure", "error"):
        trouble = element.find(tag)
        if trouble is not None:
            return Case(name, "failed", f"{trouble.get('message') or ''}\n{trouble.text or ''}")
    if element.find("skipped") is not None or element.get("status") == "notrun":
        return Case(name, "skipped")
    return Case(name, "passed")


def summary(cases):
    count = {outcome: sum(case.outcome == outcome for case in cases) for outcome in OUTCOMES}
    text = f"{count['passed']} passed, {count['failed']} failed"
    return text + (f", {count['skipped']} skipped" if count["skipped"] else "")


SUITES = {"unit": run_unit, "packet": run_packet, "budget": run_budget,
          "bench": run_bench, "scenario": run_scenario}

if __name__ == "__main__":
    sys.exit(main())
