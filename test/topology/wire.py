# SPDX-License-Identifier: Apache-2.0
"""Programs between the two ends of a wire: the generator of bench/wire on net_null ports makes and
checks the packets, on the core that polls. It is loaded into our dataplane (WiredBox) and into
dpdk-testpmd (WiredTestpmd) alike.

    clients' end            the program             backends' end
    10.64.0.0 and on   port 0 ======= port 1   10.0.2.11 and on
    VIP 10.0.1.10                              local addresses 10.0.2.128 and on

A Wired starts with start(); packets flow from begin() to end(), and read() has the figures.
"""

import dataclasses
import json
import os
import pathlib
import shutil

from . import network
from .lone_box import LoneBox
from .process import Program
from .services import service, state

CLIENT_MAC, BACKEND_MAC = "02:00:00:00:01:01", "02:00:00:00:02:01"
PORT = 80
BACKENDS = 8
LOCAL_ADDRESSES = 32
SIDES = ("clients", "backends")
FAULTS = ("wrong_addresses", "wrong_checksums", "lost_answers")
PACKET_MEMORY_MIB = 256
_PORTS = tuple(f"net_null{index},no-rx=1" for index in (0, 1))


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What flows; the keys of bench/wire/wire_config.h, where they say more."""

    flows: int = 1000
    protocol: str = "tcp"
    family: int = 4
    frame_bytes: int = 64
    data_packets: int = 0
    checksum_interval: int = 1

    def parameters(self):
        """That say what flows; the others, how much of it and how it is looked at."""
        return {"flows": self.flows, "protocol": self.protocol, "family": self.family,
                "frame_bytes": self.frame_bytes}

    @property
    def vip(self):
        return network.VIP_IPV4 if self.family == 4 else network.VIP_IPV6

    @property
    def gateway(self):
        """Behind which all clients are."""
        return network.CLIENT_IPV4 if self.family == 4 else network.CLIENT_IPV6

    @property
    def client(self):
        return "10.64.0.0" if self.family == 4 else "fd00:64::"

    @property
    def backends(self):
        return [network.backend_ipv4(number) if self.family == 4 else f"fd00:2::{10 + number:x}"
                for number in range(1, BACKENDS + 1)]

    @property
    def local_addresses(self):
        return [f"10.0.2.{128 + n}" if self.family == 4 else f"fd00:2::{0x100 + n:x}"
                for n in range(LOCAL_ADDRESSES)]

    def configuration(self, box, results):
        own = {"box": box, "client": self.client, "vip": self.vip, "vip_port": PORT,
               "local_address": self.local_addresses[0], "local_addresses": LOCAL_ADDRESSES,
               "backend": self.backends[0], "backends": BACKENDS, "backend_port": PORT,
               "client_mac": CLIENT_MAC, "backend_mac": BACKEND_MAC, "results": results}
        told = dataclasses.asdict(self)
        del told["family"]
        return "".join(f"{key} {value}\n" for key, value in (own | told).items())


def plugin(build_dir):
    return build_dir / "bench" / "wire" / "libsteelyard-wire.so"


class Wired:
    """A program with the generator in it. directory is its own."""

    def __init__(self, name, box, directory):
        """box: what the generator is to expect of it (wire_config.h)."""
        self.name = name
        self._box = box
        self._config = directory / "wire.conf"
        self._results = directory / "wire.json"
        self.program = None  # that has the ports

    def environment(self):
        return ["env", f"STEELYARD_WIRE={self._config}"]

    def begin(self, traffic):
        unfinished = self._config.with_suffix(".new")
        unfinished.write_text(traffic.configuration(self._box, self._results))
        unfinished.rename(self._config)

    def end(self):
        """No more packets; returns the last figures."""
        self._config.unlink()
        return self.wait_for_phase("done")

    def read(self):
        """The figures of this moment; None before the first."""
        try:
            return json.loads(self._results.read_text())
        except FileNotFoundError:
            return None

    def wait_for_phase(self, phase, timeout_s=30):
        self.program.wait_until(lambda: (self.read() or {}).get("phase") == phase,
                                lambda: f"the generator is in phase {phase}: {self.read()}",
                                timeout_s)
        return self.read()


class WiredTestpmd(Wired):
    """dpdk-testpmd, forwarding in one of its modes."""

    BOX = {"5tswap": "swap"}

    def __init__(self, mode, directory, build_dir, cores, huge_pages, memory_mib=128):
        super().__init__(f"testpmd {mode}", self.BOX.get(mode, "wire"), directory)
        main, worker = cores
        prefix = f"wire{os.getpid()}-{mode}"
        self._runtime_directory = pathlib.Path("/run/dpdk") / prefix
        memory = ["--in-memory"] if huge_pages else ["--no-huge", "--no-shconf"]
        self.program = Program("dpdk-testpmd", self.environment() + [
            "dpdk-testpmd", "-d", plugin(build_dir), *memory, "-m", memory_mib, "--no-pci",
            "--no-telemetry", "--file-prefix", prefix,
            "--lcores", f"0@{main},1@{worker}", *(f"--vdev={port}" for port in _PORTS),
            "--", f"--forward-mode={mode}", "--total-num-mbufs=16384", "--stats-period=3600"],
            directory / "testpmd.out")

    def start(self):
        self.program.start()

    def stop(self):
        """And removes what it leaves behind."""
        self.program.stop()
        shutil.rmtree(self._runtime_directory, ignore_errors=True)


class WiredBox(Wired):
    """Our dataplane, and a control plane that tells it of a full-NAT service."""

    def __init__(self, namespace, directory, build_dir, session_capacity, huge_pages,
                 session_directory=None):
        super().__init__("steelyard", "full_nat", directory)
        self.box = LoneBox(
            namespace, directory, build_dir, [f"vdev:{port}" for port in _PORTS], session_capacity,
            PACKET_MEMORY_MIB, huge_pages, session_directory=session_directory,
            environment=self.environment(), dataplane_options=("--dpdk-plugin", plugin(build_dir)))
        self.program = self.box.dataplane

    def start(self):
        self.box.start()

    def stop(self):
        self.box.stop()

    def serve(self, traffic, **settings):
        """Until the service is in force and the box knows its neighbours."""
        clients = "10.64.0.0/10" if traffic.family == 4 else "fd00:64::/32"
        self.box.know_clients(clients, traffic.gateway, CLIENT_MAC)
        self.box.know_backends(traffic.backends, BACKEND_MAC)
        self.box.lend(traffic.local_addresses)
        self.box.apply(state(
            service("wire", traffic.vip, traffic.backends, port=PORT, protocol=traffic.protocol,
                    **settings), local_addresses=traffic.local_addresses))

    def counters(self):
        """Of the one worker."""
        return self.box.ctl_json("stats")["counters"]["workers"][0]


def faults(figures):
    """Every kind of fault that was counted, and packets that did not arrive; empty if none."""
    found = {f"{side} {fault}": figures[side][fault] for side in SIDES for fault in FAULTS
             if figures[side][fault]}
    for sender, receiver in (SIDES, SIDES[::-1]):
        lost = figures[sender]["sent"] - figures[receiver]["received"]
        if lost:
            found[f"lost from {sender}"] = lost
    if figures["missing_buffers"]:
        found["missing_buffers"] = figures["missing_buffers"]
    return found
