# SPDX-License-Identifier: Apache-2.0
"""The guest as a machine: started, told what to run, ended."""

import base64
import gzip
import os
import pathlib
import re
import shlex
import socket
import subprocess

from topology.namespace import QUIET_SYSCTLS
from topology.process import Program
from topology.shell import COMMAND_TIMEOUT_S, CommandFailed, TimedOut

MEMORY_MIB = 2048
QUEUES = 4
# Behind an IOMMU, qemu 7.2 loses the packet whose entry in the ring of used buffers lies across a
# page's end: with more than 510 entries there is one.
_RING_ENTRIES = 256
# Emulation is slower than the machine it runs on.
_BOOT_TIMEOUT_S = 60
_NICENESS_OF_WORKERS = 5
_ANSWER_MARGIN_S = 15
_NUMA_BUSES = (0x40, 0x80)


def mac_address(port_index):
    return f"52:54:00:00:00:{0x10 + port_index:02x}"


class Machine:
    """Has what tests use of a Namespace: run, ip, sysctl. start() before use, stop() at the end.

    taps: names of multi-queue taps in `namespace`, one a port.
    numa_nodes: 1, or 2, of which node 1 has the last processor and the first port.
    """

    def __init__(self, namespace, directory, kernel, initramfs, taps, processors, numa_nodes=1):
        self.directory = directory
        self.processors = processors
        self._numa_nodes = numa_nodes
        self._socket_path = directory / "serial.sock"
        self._console = directory / "console.out"
        self._taps = taps
        self._qemu = Program("qemu", namespace.enter(
            self._command(kernel, initramfs)), directory / "qemu.out")
        self._line = None
        self._received = b""
        self._number = 0

    def pci_address(self, port_index):
        if self._numa_nodes == 1:
            return f"0000:00:{0x10 + port_index:02x}.0"
        return f"0000:{_NUMA_BUSES[1 - port_index] + 1:02x}:00.0"

    def start(self):
        self._qemu.start()
        try:
            self._line = self._qemu.wait_until(self._connect, "its serial port accepts")
            self._qemu.wait_until(lambda: self._read_line(1) == "ready", "the guest is up",
                                  _BOOT_TIMEOUT_S)
        except Exception as error:
            raise type(error)(f"{error}\nthe guest's console:\n{self.console_tail()}") from None
        self._favour_first_processor()
        self.sysctl(QUIET_SYSCTLS)

    def _favour_first_processor(self):
        """Workers poll without a pause: the others would leave it little of a small machine."""
        for task in pathlib.Path(f"/proc/{self._qemu.pid}/task").iterdir():
            if re.fullmatch("CPU [1-9][0-9]*/TCG", (task / "comm").read_text().strip()):
                os.setpriority(os.PRIO_PROCESS, int(task.name), _NICENESS_OF_WORKERS)

    def stop(self):
        if self._line:
            self._line.close()
        self._qemu.kill()

    @property
    def running(self):
        return self._qemu.running

    def console_tail(self, lines=40):
        try:
            return "\n".join(self._console.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def run(self, argv, check=True, timeout_s=COMMAND_TIMEOUT_S, stdin=None):
        """Like shell.run, in the guest."""
        script = shlex.join(str(word) for word in argv)
        if stdin is not None:
            encoded = base64.b64encode(stdin.encode()).decode()
            script = f"echo {encoded} | base64 -d | {script}"
        return self.run_script(script, check, timeout_s)

    def run_script(self, script, check=True, timeout_s=COMMAND_TIMEOUT_S):
        """One after the other: the guest serves one command at a time."""
        self._number += 1
        encoded = base64.b64encode(script.encode()).decode()
        self._line.sendall(f"{self._number} {timeout_s} {encoded}\n".encode())
        number = 0
        while number != self._number:  # an earlier one's answer, if its caller was interrupted
            answer = self._read_line(timeout_s + _ANSWER_MARGIN_S)
            if answer is None:
                raise TimedOut(f"{script}: no answer from the guest after {timeout_s} s\n"
                               f"{self.console_tail()}")
            number, status, *outputs = answer.split()
            number = int(number)
        stdout, stderr = (gzip.decompress(base64.b64decode(output)).decode(errors="replace")
                          for output in outputs)
        result = subprocess.CompletedProcess(script, int(status), stdout, stderr)
        if check and result.returncode != 0:
            raise CommandFailed(f"{script}: exit status {status} in the guest\n{stdout}{stderr}")
        return result

    def write_file(self, path, text):
        self.run(["sh", "-c", f"cat >{shlex.quote(str(path))}"], stdin=text)

    def ip(self, *commands):
        """Runs commands of `ip`, each one string, in one go."""
        self.run(["ip", "-batch", "-"], stdin="\n".join(commands) + "\n")

    def sysctl(self, settings):
        self.run(["sysctl", "-q", "-w", *(f"{key}={value}" for key, value in settings.items())])

    def bind_ports(self):
        """Gives the PCI devices of all ports to DPDK."""
        devices = [f"/sys/bus/pci/devices/{self.pci_address(i)}" for i in range(len(self._taps))]
        self.run_script("set -e\nmodprobe tun\nmodprobe vfio_iommu_type1\nmodprobe vfio-pci\n"
                        + "".join(f"echo vfio-pci >{device}/driver_override\n"
                                  f"echo {device.rpartition('/')[2]} >/sys/bus/pci/drivers_probe\n"
                                  for device in devices))

    def _connect(self):
        line = socket.socket(socket.AF_UNIX)
        if line.connect_ex(str(self._socket_path)) == 0:
            return line
        line.close()
        return None

    def _read_line(self, timeout_s):
        """The next line, or None: nothing more came for so long."""
        self._line.settimeout(timeout_s)
        while b"\n" not in self._received:
            try:
                data = self._line.recv(65536)
            except TimeoutError:
                return None
            if not data:
                raise CommandFailed(f"the guest ended\n{self.console_tail()}")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line.decode(errors="replace").strip()

    def _command(self, kernel, initramfs):
        command = [
            "qemu-system-x86_64", "-name", "guest,debug-threads=on",
            "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem",
            "-smp", self.processors, "-m", MEMORY_MIB,
            "-kernel", kernel.image, "-initrd", initramfs,
            "-append", "console=ttyS0 panic=-1 quiet intel_iommu=on mitigations=off",
            "-serial", f"file:{self._console}",
            "-serial", f"unix:{self._socket_path},server=on,wait=off",
            # The IOMMU comes before what it guards.
            "-device", "intel-iommu,intremap=on"]
        if self._numa_nodes == 2:
            command += self._numa_arguments()
        for index, tap in enumerate(self._taps):
            command += [
                "-netdev", f"tap,id=net{index},ifname={tap},script=no,downscript=no,"
                           f"queues={QUEUES},vhost=off",
                "-device", f"virtio-net-pci,netdev=net{index},{self._place(index)},"
                           f"mac={mac_address(index)},mq=on,rss=on,vectors={2 * QUEUES + 2},"
                           f"disable-legacy=on,iommu_platform=on,rx_queue_size={_RING_ENTRIES}"]
        return command

    def _place(self, port_index):
        if self._numa_nodes == 1:
            return f"bus=pcie.0,addr={0x10 + port_index:x}"
        return f"bus=slot{1 - port_index}"

    def _numa_arguments(self):
        """With a PCI host bridge and a slot on each node: what is on the machine's first bridge is
        on none."""
        last = self.processors - 1
        arguments = []
        for node, processors in enumerate((f"0-{last - 1}", last)):
            arguments += [
                "-object", f"memory-backend-ram,id=memory{node},size={MEMORY_MIB // 2}M",
                "-numa", f"node,nodeid={node},cpus={processors},memdev=memory{node}",
                "-device", f"pxb-pcie,id=node{node},bus=pcie.0,bus_nr={_NUMA_BUSES[node]},"
                           f"numa_node={node}",
                "-device", f"pcie-root-port,id=slot{node},bus=node{node},chassis={1 + node}"]
        return arguments
