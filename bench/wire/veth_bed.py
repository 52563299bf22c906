# SPDX-License-Identifier: Apache-2.0
"""A client and a backend, and two programs that join them: our box, and dpdk-testpmd as a mere wire.
Each has veth pairs of its own to both, so that what is asked for decides which of them is crossed:

       10.0.1.2  client0 === port0  box      port1 === eth0  10.0.2.11     VIP 10.0.1.10
    client                                                   backend
       10.0.9.2  client1 === port0  testpmd  port1 === eth1  10.0.9.11     one network

They have one core to poll on, so only one runs at a time (pause(), resume()); everything else has
the other core.
"""

import contextlib
import os
import pathlib
import shutil

import turns
from topology import network, sweep
from topology.backend import Backend
from topology.lone_box import LoneBox
from topology.namespace import Namespace
from topology.process import Program
from topology.role import ROLES
from topology.services import service, state
from topology.shell import wait_until

WEB_PORT = 80
IPERF3_PORT = 5201
ECHO_PORT = 5202
SESSION_CAPACITY = 65536  # of the one client's ports there are fewer
MEMORY_MIB = 256
# With packet rings like those of the dataplane (PacketSocketRing in dataplane/dpdk/port.cc).
DEVICES = {"af_packet": "net_af_packet{0},iface=port{0},blocksz=65536,framesz=2048,framecnt=2048",
           "af_xdp": "net_af_xdp{0},iface=port{0}"}


class SteelyardBox:
    """target: what the client asks for. server_address: where the backend then serves."""

    name = "steelyard"
    target = network.VIP_IPV4
    server_address = network.backend_ipv4(1)

    def __init__(self, namespace, directory, build_dir, port_driver):
        cores = ",".join(str(core) for core in os.sched_getaffinity(0))
        self._box = LoneBox(namespace, directory, build_dir,
                            [f"{port_driver}:port{index}" for index in (0, 1)], SESSION_CAPACITY,
                            MEMORY_MIB, huge_pages=False, environment=("taskset", "-c", cores))
        self.programs = (self._box.dataplane, self._box.controlplane)

    def start(self, mode):
        self._box.start()
        self._box.lend(network.LOCAL_IPV4)
        self._box.apply(state(
            *(service(name, self.target, [self.server_address], port=port, protocol=protocol,
                      mode=mode)
              for name, port, protocol in (("web", WEB_PORT, "tcp"), ("control", IPERF3_PORT, "tcp"),
                                           ("data", IPERF3_PORT, "udp"),
                                           ("echo", ECHO_PORT, "udp"))),
            local_addresses=network.LOCAL_IPV4))

    def wait_ready(self):
        """The daemons find each other again when one did not answer for so long."""
        self._box.wait_synced()

    def stop(self):
        self._box.stop()


class TestpmdWire:
    """It passes on everything as it is, in both directions."""

    name = "testpmd io"
    target = server_address = "10.0.9.11"
    client_address = "10.0.9.2"

    def __init__(self, namespace, directory, port_driver):
        main_core, polling_core = turns.cores()
        self._file_prefix = namespace.name
        self._program = Program("dpdk-testpmd", namespace.enter(
            ["dpdk-testpmd", "--no-huge", "-m", MEMORY_MIB, "--no-pci", "--no-telemetry",
             "--no-shconf", "--file-prefix", self._file_prefix,
             "--lcores", f"0@{main_core},1@{polling_core}",
             *(f"--vdev={DEVICES[port_driver].format(index)}" for index in (0, 1)),
             "--", "--forward-mode=io", "--total-num-mbufs=32768", "--stats-period=3600"]),
            directory / "testpmd.out")
        self.programs = (self._program,)

    def start(self, _mode):
        self._program.start()
        self._program.wait_until(lambda: "Port statistics" in self._program.log,
                                 "testpmd forwards", timeout_s=30)

    def wait_ready(self):
        """It is, as soon as it runs."""

    def stop(self):
        self._program.stop()
        shutil.rmtree(pathlib.Path("/run/dpdk") / self._file_prefix, ignore_errors=True)


class Bed:
    """client (a Namespace) and backend (a Backend), ours and yardstick between them. Use with `with`:
    everything is started, and the two programs are paused."""

    def __init__(self, directory, build_dir, port_driver, mode):
        self.directory = directory
        self._build_dir = build_dir
        self._port_driver = port_driver
        self._mode = mode
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._make_nodes()
            _leave_polling_core(stack)
            stack.callback(self.backend.stop)
            self.backend.start()
            for program in (self.ours, self.yardstick):
                stack.callback(program.stop)
                stack.callback(turns.resume, program.programs)
                self._start(program)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self._stack.close()

    @contextlib.contextmanager
    def turn_of(self, program):
        """It runs while the context lasts."""
        turns.resume(program.programs)
        program.wait_ready()
        yield
        turns.pause(program.programs)

    def _make_nodes(self):
        self.client, backend_node = self._node("client"), self._node("backend")
        self.backend = Backend(
            "backend", backend_node, SteelyardBox.server_address, network.backend_ipv6(1),
            self._directory("backend"), self.directory, sweep.run_cgroup(os.getpid()) / "backend")
        self.ours = SteelyardBox(self._join(0, "box"), self._directory("box"), self._build_dir,
                                 self._port_driver)
        self.yardstick = TestpmdWire(self._join(1, "testpmd"), self._directory("testpmd"),
                                     self._port_driver)
        network.add_addresses(self.client, "client0", (f"{network.CLIENT_IPV4}/24",))
        network.add_addresses(self.client, "client1", (f"{TestpmdWire.client_address}/24",))
        network.add_addresses(backend_node, "eth0", (f"{SteelyardBox.server_address}/24",))
        network.add_addresses(backend_node, "eth1", (f"{TestpmdWire.server_address}/24",))
        gateway = network.GATEWAYS[ROLES[self._mode].gateway]
        network.set_default_gateway(backend_node, gateway[:1])

    def _node(self, name):
        return Namespace(sweep.namespace_name(os.getpid(), name)).create()

    def _directory(self, name):
        path = self.directory / name
        path.mkdir(parents=True)
        return path

    def _join(self, index, name):
        """The namespace of a program, with a port to the client and one to the backend."""
        node = self._node(name)
        network.connect(self.client, f"client{index}", node, "port0")
        network.connect(self.backend.namespace, f"eth{index}", node, "port1")
        for port in ("port0", "port1"):
            network.make_port(node, port)
        return node

    def _start(self, program):
        """It is left paused."""
        program.start(self._mode)
        wait_until(lambda: self.client.run(
            ["curl", "-s", "--max-time", "1", f"http://{program.target}:{WEB_PORT}/"],
            check=False).returncode == 0, f"the backend answers through {program.name}", 30)
        turns.pause(program.programs)


def _leave_polling_core(stack):
    """For this process and those that it starts, until the stack ends. testpmd's threads go where
    they are told all the same; our dataplane insists on being allowed to."""
    stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
    main_core, _ = turns.cores()
    os.sched_setaffinity(0, {main_core})
