# SPDX-License-Identifier: Apache-2.0
"""The box's programs in the guest."""

import pathlib

from topology.box import Box, programs

from .program import GuestProgram

_FOLDER = pathlib.PurePosixPath("/tmp/box")
_SYNC_TIMEOUT_S = 60
_HUGE_PAGES = 450  # of 2 MiB: buffers and session tables


def guest_programs(build_dir):
    """Files of this machine that the guest has in /usr/bin, beside busybox's programs."""
    return [*programs(build_dir), build_dir / "test" / "guest" / "count_by_queue",
            pathlib.Path("/bin/ip")]


class GuestBox(Box):
    """As Box, with its files, sockets and processes in the guest. Paths are the guest's."""

    # pylint: disable-next=super-init-not-called
    def __init__(self, guest, build_dir, port_count, workers, huge_pages):
        self.namespace = guest
        self.directory = _FOLDER
        self.ctl_program, self.controlplane_program, self.dataplane_program = (
            f"/usr/bin/{program.name}" for program in programs(build_dir))
        self.dataplane_socket = _FOLDER / "dataplane.sock"
        self.api_socket = _FOLDER / "controlplane.sock"
        self.session_directory = ("/dev/hugepages" if huge_pages else "/dev/shm") + "/box"
        self.configuration = _FOLDER / "steelyard.yaml"
        self.workers = workers
        self._huge_pages = huge_pages
        if huge_pages:
            guest.sysctl({"vm.nr_hugepages": _HUGE_PAGES})
        guest.run(["mkdir", "-p", _FOLDER / "state"])
        guest.write_file(self.configuration, self._configuration_text())
        self.dataplane = GuestProgram(
            "steelyard-dataplane", guest,
            self._dataplane_command([guest.pci_address(index) for index in range(port_count)]),
            _FOLDER / "dataplane.out")
        self.controlplane = GuestProgram("steelyard-controlplane", guest,
                                         self._controlplane_command(), _FOLDER / "controlplane.out")

    def wait_synced(self, timeout_s=_SYNC_TIMEOUT_S):
        super().wait_synced(timeout_s)

    def ctl(self, *words, check=True, stdin=None):
        return self.namespace.run([self.ctl_program, "--socket", self.api_socket, *words],
                                  check=check, stdin=stdin)

    def apply(self, services_yaml):
        path = self.directory / "services.yaml"
        self.namespace.write_file(path, services_yaml)
        self.ctl("apply", "-f", path)
        self.wait_synced()
        return path

    def _dataplane_accepts(self):
        return self.namespace.run(["grep", "-qF", self.dataplane_socket, "/proc/net/unix"],
                                  check=False).returncode == 0

    def _memory(self):
        return "hugepages" if self._huge_pages else "none"

    def _cores(self):
        processors = self.namespace.processors
        return 0, ",".join(map(str, range(processors - self.workers, processors)))
