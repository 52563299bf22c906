# SPDX-License-Identifier: Apache-2.0
"""dpdk-testpmd in a box's place: its command line, and one that takes commands while it runs."""

import os
import pathlib
import shutil

from .process import Program
from .watch import Watch

_START_TIMEOUT_S = 120  # millions of packets are loaded


def command(prefix, cores, devices, plugin, memory_mib, huge_pages):
    """Up to and with the "--" that its own options follow. cores: the main thread's and the one that
    polls; devices: as --vdev takes them."""
    main, worker = cores
    memory = ["--in-memory"] if huge_pages else ["--no-huge", "--no-shconf"]
    return ["dpdk-testpmd", "-d", plugin, *memory, "-m", memory_mib, "--no-pci", "--no-telemetry",
            "--file-prefix", prefix, "--lcores", f"0@{main},1@{worker}",
            *(f"--vdev={device}" for device in devices), "--"]


def runtime_directory(prefix):
    """What it leaves behind."""
    return pathlib.Path("/run/dpdk") / prefix


class CommandedTestpmd:
    """One process for all modes, so that what it holds is there but once. It forwards in a mode from
    forward() to halt(), and does nothing in between."""

    # pylint: disable-next=too-many-arguments
    def __init__(self, directory, build_dir, cores, devices, buffers, memory_mib, huge_pages):
        """buffers: for packets."""
        self.watch = Watch(directory, build_dir)
        prefix = f"commanded{os.getpid()}-{directory.name}"
        self._runtime_directory = runtime_directory(prefix)
        # Ports that repeat a file would be emptied for ever before each start.
        self.program = Program("dpdk-testpmd", self.watch.environment() + ["stdbuf", "-oL"] + command(
            prefix, cores, devices, self.watch.plugin, memory_mib, huge_pages)
            + ["--interactive", f"--total-num-mbufs={buffers}", "--no-flush-rx", "--no-mlockall"],
            directory / "testpmd.out", takes_input=True)

    def start(self):
        self.program.start()
        self.program.wait_until(lambda: "testpmd>" in self.program.log, "it takes commands",
                                _START_TIMEOUT_S)

    def forward(self, mode):
        said = len(self.program.log)
        self.program.write(f"set fwd {mode}\nstart\n")
        self.program.wait_until(
            lambda: f"{mode} packet forwarding - ports=2" in self.program.log[said:],
            f"it forwards in mode {mode}")

    def halt(self):
        said = len(self.program.log)
        self.program.write("stop\n")
        self.program.wait_until(lambda: "Done." in self.program.log[said:], "it has stopped forwarding")

    def stop(self):
        self.program.stop()
        shutil.rmtree(self._runtime_directory, ignore_errors=True)
