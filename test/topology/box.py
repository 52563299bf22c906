# SPDX-License-Identifier: Apache-2.0
"""The box's programs: both daemons, and steelyardctl to ask and tell them."""

import json
import os
import socket

from .process import Program
from .sweep import run_memory
from .shell import CommandFailed, run, wait_until

SESSION_CAPACITY = 65536
MEMORY_MIB = 512
METRICS_ADDRESS = "127.0.0.1:9464"
# The whole suite can be run with any number of workers.
WORKERS = int(os.environ.get("STEELYARD_WORKERS", "1"))


def programs(build_dir):
    """steelyardctl and the two daemons, as files of a build."""
    return (build_dir / "controlplane" / "cli" / "steelyardctl",
            build_dir / "controlplane" / "steelyard-controlplane",
            build_dir / "dataplane" / "steelyard-dataplane")


class Box:
    """namespace with its daemons. start() returns when both answer; apply() changes services."""

    def __init__(self, namespace, directory, build_dir, ports, workers=WORKERS):
        """ports: as --port takes them."""
        self.namespace = namespace
        self.directory = directory
        self.ctl_program, self.controlplane_program, self.dataplane_program = programs(build_dir)
        self.dataplane_socket = directory / "dataplane.sock"
        self.session_directory = run_memory(os.getpid()) / directory.name
        self.api_socket = directory / "controlplane.sock"
        self.configuration = directory / "steelyard.yaml"
        self._write_configuration()
        self.workers = workers
        self.dataplane = Program("steelyard-dataplane", namespace.enter(
            self._dataplane_command(ports)), directory / "dataplane.out")
        self.controlplane = Program("steelyard-controlplane", namespace.enter(
            self._controlplane_command()), directory / "controlplane.out")

    def start(self):
        self.start_dataplane()
        self.start_controlplane()

    def stop(self):
        self.controlplane.stop()
        self.dataplane.stop()

    def start_dataplane(self, timeout_s=30):
        self.dataplane.start()
        self.dataplane.wait_until(self._dataplane_accepts, "its control socket accepts", timeout_s)

    def take_over(self):
        """Another dataplane takes the running one's place. Returns the exit status of the latter."""
        before = self.dataplane
        self.dataplane = Program(before.name, [*before.argv, "--take-over"],
                                 before.log_path)
        self.dataplane.start()
        self.dataplane.argv = before.argv
        status = before.wait(timeout_s=30)
        self.dataplane.wait_until(self._dataplane_accepts, "its control socket accepts",
                                  timeout_s=30)
        return status

    def start_controlplane(self):
        self.controlplane.start()
        self.controlplane.wait_until(lambda: self.ctl("version", check=False).returncode == 0,
                                     "steelyardctl reaches it", timeout_s=15)

    def wait_synced(self, timeout_s=15):
        """Until the dataplane has the generation of the control plane, and answers its questions:
        these go by a connection of their own, which comes back by itself."""

        def synced():
            try:
                version = self.ctl_json("version")
            except CommandFailed:
                return False
            return (version["dataplane_version"]
                    and version["generation"] == version["dataplane_generation"]
                    and self.ctl("stats", check=False).returncode == 0)

        wait_until(synced, lambda: "the dataplane has the control plane's generation: "
                                   f"{self.ctl('version', check=False)}", timeout_s)

    def ctl(self, *words, check=True, stdin=None):
        """steelyardctl's CompletedProcess. It speaks over a unix socket, so no namespace."""
        return run([self.ctl_program, "--socket", self.api_socket, *words], check=check,
                   stdin=stdin)

    def ctl_json(self, *words):
        return json.loads(self.ctl("-o", "json", *words).stdout)

    def apply(self, services_yaml):
        """Applies a declared state, given as text, and waits until it is in force."""
        path = self.directory / "services.yaml"
        path.write_text(services_yaml)
        self.ctl("apply", "-f", path)
        self.wait_synced()
        return path

    def _dataplane_accepts(self):
        """A dataplane that was killed leaves its socket's file, so its being there says nothing."""
        with socket.socket(socket.AF_UNIX) as attempt:
            return attempt.connect_ex(str(self.dataplane_socket)) == 0

    def backend_statuses(self):
        """Of every service: {(service, backend address): BackendStatus as a dictionary}."""
        return {(service["service"]["name"], status["backend"]["address"]): status
                for service in self.ctl_json("service", "list")["services"]
                for status in service["backends"]}

    def is_available(self, service, address):
        """Whether the dataplane opens sessions to the backend: what the control plane knows of its
        health reaches the dataplane a moment later."""
        return self.backend_statuses()[(service, address)]["counters"]["available"]

    def all_backends_up(self):
        return all(status["health"] == "HEALTH_UP" for status in self.backend_statuses().values())

    def active_sessions(self):
        return sum(int(worker["sessions_active"])
                   for worker in self.ctl_json("stats")["counters"]["workers"])

    def metrics(self):
        """The text of /metrics."""
        return self.namespace.run(["curl", "-sS", "--fail", "--max-time", "10",
                                   f"http://{METRICS_ADDRESS}/metrics"]).stdout

    def _cores(self):
        """Of the main thread and of the workers, as the options take them."""
        cores = sorted(os.sched_getaffinity(0))
        return cores[0], ",".join(str(cores[-1 - index % len(cores)])
                                  for index in range(self.workers))

    def _dataplane_command(self, ports):
        main_core, worker_cores = self._cores()
        command = [self.dataplane_program]
        for port in ports:
            command += ["--port", port]
        return command + ["--main-core", main_core, "--worker-cores", worker_cores,
                          "--check-ownership", "--memory", self._memory(),
                          "--memory-mib", MEMORY_MIB * (1 + self.workers // 4),
                          "--session-capacity", SESSION_CAPACITY,
                          "--control-socket", self.dataplane_socket,
                          "--session-directory", self.session_directory]

    def _memory(self):
        return "none"

    def _controlplane_command(self):
        return [self.controlplane_program, "--config", self.configuration]

    def _write_configuration(self):
        (self.directory / "state").mkdir()
        self.configuration.write_text(self._configuration_text())

    def _configuration_text(self):
        return (f"dataplane_socket: {self.dataplane_socket}\n"
                f"api_socket: {self.api_socket}\n"
                f"metrics_address: {METRICS_ADDRESS}\n"
                f"state_directory: {self.directory}/state\n")
