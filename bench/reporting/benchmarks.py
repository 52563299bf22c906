# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of a report, and how they are run. To add one: a row in BENCHMARKS."""

import dataclasses
import json
import pathlib
import subprocess
import time

from . import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT_S = 900
STOP_TIMEOUT_S = 60
TAIL_LINES = 12


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """name is that of its JSON file, too; program is a path below bench/. quick are the arguments when
    it is only to be seen that all works."""

    name: str
    program: str
    arguments: tuple = ()
    quick: tuple = ()

    @property
    def is_google(self):
        """Google Benchmark's, and built; otherwise a script."""
        return self.program.endswith("_bench")

    def shown(self, quick):
        return " ".join((self.program, *(self.quick if quick else self.arguments)))

    def command(self, build, figures, quick):
        places = ((f"--benchmark_out={figures}", "--benchmark_out_format=json") if self.is_google
                  else ("--build", str(build), "--json", str(figures)))
        program, *arguments = self.shown(quick).split()
        return [str((build if self.is_google else ROOT) / "bench" / program), *arguments, *places]


def only(pattern):
    return (f"--benchmark_filter={pattern}", "--benchmark_min_time=0.05")


FRAME_BYTES = (64, 128, 256, 512, 1024, 1518)
FEW_MODES = ("--modes", "io", "5tswap", "csum")
A_TURN = ("--flows", "1000", *FEW_MODES, "--turns", "1", "--turn-s", "0.2")

BENCHMARKS = (
    Benchmark("pipeline_bench", "core/pipeline_bench", ("--benchmark_min_time=0.2",),
              only("(full_nat|tunnel|direct)_ipv4/1000(000)?/")),
    Benchmark("session_setup_bench", "core/session_setup_bench", (), only("ipv4")),
    Benchmark("session_table_bench", "core/session_table_bench", (), only("FlowKey4>/1000(000)?/")),
    Benchmark("local_port_bench", "core/local_port_bench", (), only("ipv4")),
    Benchmark("scheduler_bench", "core/scheduler_bench", (), only("choose")),
    Benchmark("parser_bench", "net/parser_bench", (), only("tcp")),
    Benchmark("checksum_bench", "net/checksum_bench", (), only("InFull")),
    Benchmark("handoff_bench", "worker/handoff_bench", (), only("OneCore")),
    Benchmark("configuration_bench", "control/configuration_bench", (), only("ChangeOneWeight")),
    Benchmark("run_flows", "wire/run", ("--flows", "1000", "10000", "100000", "1000000"),
              ("--flows", "1000", "100000", *FEW_MODES, "--turns", "1", "--turn-s", "0.2")),
    *(Benchmark(f"run_{size}_bytes", "wire/run",
                ("--frame-bytes", str(size), "--flows", "100000", *FEW_MODES, "--turns", "3"),
                ("--frame-bytes", str(size), *A_TURN)) for size in FRAME_BYTES),
    Benchmark("trace", "wire/trace", ("--frame-bytes", "64", *FEW_MODES, "--turns", "5"),
              ("--frame-bytes", "64", *A_TURN)),
    Benchmark("memif", "wire/memif", (*FEW_MODES, "--turns", "5"), A_TURN),
    Benchmark("veth", "wire/veth", ("--turns", "3"),
              ("--port-driver", "af_xdp", "--turns", "1", "--turn-s", "1")),
    Benchmark("changes", "wire/changes",
              ("--measure", "changes", "listing", "--rounds", "10", "--turns", "3"),
              ("--measure", "changes", "listing", "--rounds", "1", "--turns", "1", "--flows", "1000")),
    Benchmark("changes_10000_services", "wire/changes",
              ("--measure", "whole", "changes", "--services", "10000", "--flows", "100000",
               "--rounds", "3", "--whole-rounds", "1"),
              ("--measure", "whole", "--services", "100", "--flows", "1000", "--whole-rounds", "1")),
)


def measure(benchmarks, into, build, quick):
    """Runs them one after another. Returns whether all went well."""
    into.mkdir(parents=True, exist_ok=True)
    outcomes_file = into / "measured.json"
    outcomes = json.loads(outcomes_file.read_text()) if outcomes_file.exists() else {}
    described = machine.describe(ROOT, build)
    for benchmark in benchmarks:
        print(f"{benchmark.name}: {benchmark.shown(quick)}", flush=True)
        outcome = outcome_of(benchmark, into, build, quick) | {"commit": described["commit"]}
        print(f"  {outcome['failure'] or 'done'}, {outcome['seconds']:.0f} s", flush=True)
        outcomes[benchmark.name] = outcome
        write_json(outcomes_file, outcomes)
        write_json(into / "machine.json", described | {"load at the end": machine.load()})
    return not any(outcomes[benchmark.name]["failure"] for benchmark in benchmarks)


def outcome_of(benchmark, into, build, quick):
    """failure is empty, or what went wrong, and output then the end of what it printed."""
    figures, log = (into.resolve() / f"{benchmark.name}{ending}" for ending in (".json", ".log"))
    figures.unlink(missing_ok=True)
    began = time.monotonic()
    with log.open("w") as output:
        failure = run(benchmark.command(build, figures, quick), output)
    outcome = {"command": benchmark.shown(quick), "seconds": time.monotonic() - began,
               "failure": failure, "output": ""}
    if failure:
        outcome["output"] = tail(log).replace(str(build), "BUILD").replace(str(ROOT), ".")
    return outcome


def run(command, output):
    """Returns what went wrong. A process group of its own: an interrupt ends the benchmark once, by
    SIGTERM, upon which it takes its network down."""
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                              stderr=subprocess.STDOUT, start_new_session=True) as process:
            try:
                status = process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                stop(process)
                return f"stopped after {TIMEOUT_S} s"
            except KeyboardInterrupt:
                stop(process)
                raise
    except OSError as error:
        return f"not started: {error.strerror}"
    return f"exit status {status}" if status else ""


def stop(process):
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def tail(log):
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def write_json(path, content):
    path.write_text(json.dumps(content, indent=1) + "\n")
