# SPDX-License-Identifier: Apache-2.0
"""Programs between the two ends of a wire: the generator of bench/wire on net_null ports makes and
checks the packets, on the core that polls. It is loaded into our dataplane (WiredBox) and into
dpdk-testpmd (WiredTestpmd) alike.

    clients' end            the program             backends' end
    10.64.0.0 and on   port 0 ======= port 1   10.0.2.11 and on
    VIP 10.0.1.10                              local addresses 10.0.2.128 and on

A Wired starts with start(); packets flow from begin() to end(), and read() has the figures.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import time

from . import network, testpmd
from .lone_box import LoneBox
from .process import Program
from .services import service, state
from .shell import TimedOut, wait_until

CLIENT_MAC, BACKEND_MAC = "02:00:00:00:01:01", "02:00:00:00:02:01"
PORT = 80
BACKENDS = 8
LOCAL_ADDRESSES = 32
SIDES = ("clients", "backends")
WRONGS = ("wrong_addresses", "wrong_checksums")
FAULTS = WRONGS + ("lost_answers",)
PACKET_MEMORY_MIB = 256
# The polling thread of a busy machine may have been stopped amid its last packets.
_UNDER_WAY_S = 2
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
    window: int = 0

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

    @property
    def port(self):
        """Of the service, and of its backends."""
        return PORT

    @property
    def macs(self):
        """Of the clients' gateway and of all backends."""
        return CLIENT_MAC, BACKEND_MAC

    def configuration(self, box, results, learnt):
        own = {"box": box, "client": self.client, "vip": self.vip, "vip_port": PORT,
               "local_address": self.local_addresses[0], "local_addresses": LOCAL_ADDRESSES,
               "backend": self.backends[0], "backends": BACKENDS, "backend_port": PORT,
               "client_mac": CLIENT_MAC, "backend_mac": BACKEND_MAC, "results": results}
        if learnt:
            own["learnt"] = learnt
        told = dataclasses.asdict(self)
        del told["family"]
        return "".join(f"{key} {value}\n" for key, value in (own | told).items())


def plugin(build_dir):
    return build_dir / "bench" / "wire" / "libsteelyard-wire.so"


def expected_of(mode):
    """What the generator is to expect of a mode of testpmd."""
    return "swap" if mode == "5tswap" else "wire"


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

    def begin(self, traffic, learnt=None):
        """learnt: the file that the flows' addresses and ports go to, once all are set up."""
        unfinished = self._config.with_suffix(".new")
        unfinished.write_text(traffic.configuration(self._box, self._results, learnt))
        unfinished.rename(self._config)

    def end(self):
        """No more packets; returns the last figures."""
        self._config.unlink()
        self.wait_for_phase("done")
        with contextlib.suppress(TimedOut):
            wait_until(lambda: not faults(self.read()), "all came back", _UNDER_WAY_S)
        return self.read()

    def read(self):
        """The figures of this moment; None before the first."""
        try:
            return json.loads(self._results.read_text())
        except FileNotFoundError:
            return None

    def read_now(self):
        """The figures of a moment after the call."""
        called = time.monotonic_ns()

        def fresh():
            figures = self.read()
            return figures if figures and figures["time_ns"] > called else None

        return self.program.wait_until(fresh, "the generator tells its figures", timeout_s=30)

    def wait_for_phase(self, phase, timeout_s=30):
        self.program.wait_until(lambda: (self.read() or {}).get("phase") == phase,
                                lambda: f"the generator is in phase {phase}: {self.read()}",
                                timeout_s)
        return self.read()


class GeneratorInTestpmd(Wired):
    """dpdk-testpmd with the generator on its first two ports."""

    # pylint: disable-next=too-many-arguments
    def __init__(self, name, box, directory, build_dir, cores, huge_pages, memory_mib, words,
                 more_devices=()):
        """words: its own options. more_devices: for ports behind the generator's."""
        super().__init__(name, box, directory)
        prefix = f"wire{os.getpid()}-{directory.name}"
        self._runtime_directory = testpmd.runtime_directory(prefix)
        self.program = Program("dpdk-testpmd", self.environment() + testpmd.command(
            prefix, cores, (*_PORTS, *more_devices), plugin(build_dir), memory_mib, huge_pages)
            + ["--total-num-mbufs=16384", "--stats-period=3600", *words], directory / "wire.out")

    def start(self):
        self.program.start()

    def stop(self):
        """And removes what it leaves behind."""
        self.program.stop()
        shutil.rmtree(self._runtime_directory, ignore_errors=True)


class WiredTestpmd(GeneratorInTestpmd):
    """dpdk-testpmd, forwarding in one of its modes."""

    def __init__(self, mode, directory, build_dir, cores, huge_pages, memory_mib=128):
        super().__init__(f"testpmd {mode}", expected_of(mode), directory, build_dir, cores, huge_pages,
                         memory_mib, [f"--forward-mode={mode}"])


class WiredBox(Wired):
    """Our dataplane, and a control plane that tells it of a full-NAT service."""

    # pylint: disable-next=too-many-arguments
    def __init__(self, namespace, directory, build_dir, session_capacity, huge_pages,
                 session_directory=None, session_capacity_ipv6=None):
        super().__init__("steelyard", "full_nat", directory)
        self.box = LoneBox(
            namespace, directory, build_dir, [f"vdev:{port}" for port in _PORTS], session_capacity,
            PACKET_MEMORY_MIB, huge_pages, session_directory=session_directory,
            environment=self.environment(), dataplane_options=("--dpdk-plugin", plugin(build_dir)),
            session_capacity_ipv6=session_capacity_ipv6)
        self.program = self.box.dataplane

    def start(self):
        self.box.start()

    def stop(self):
        self.box.stop()

    def serve(self, traffic, **settings):
        serve(self.box, traffic, **settings)

    def counters(self):
        """Of the one worker."""
        return self.box.ctl_json("stats")["counters"]["workers"][0]


def introduce(box, traffic):
    """The box is told who has which MAC."""
    clients = "10.64.0.0/10" if traffic.family == 4 else "fd00:64::/32"
    box.know_clients(clients, traffic.gateway, CLIENT_MAC)
    box.know_backends(traffic.backends, BACKEND_MAC)


def serve(box, traffic, **settings):
    """Until the service is in force and the box knows its neighbours."""
    introduce(box, traffic)
    box.lend(traffic.local_addresses)
    box.apply(state(
        service("wire", traffic.vip, traffic.backends, port=PORT, protocol=traffic.protocol,
                **settings), local_addresses=traffic.local_addresses))


def wrongs(figures, kinds=WRONGS):
    """Packets that came back and should not have, as they were; empty if none."""
    return {f"{side} {kind}": figures[side][kind] for side in SIDES for kind in kinds
            if figures[side][kind]}


def faults(figures):
    """Every kind of fault that was counted, and packets that did not arrive; empty if none."""
    found = wrongs(figures, FAULTS)
    for sender, receiver in (SIDES, SIDES[::-1]):
        lost = figures[sender]["sent"] - figures[receiver]["received"]
        if lost:
            found[f"lost from {sender}"] = lost
    if figures["missing_buffers"]:
        found["missing_buffers"] = figures["missing_buffers"]
    return found
