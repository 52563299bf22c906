# SPDX-License-Identifier: Apache-2.0
"""A Topology whose box is a guest."""

from topology import Topology, network

from . import machine
from .box import GuestBox, guest_programs
from .initramfs import build_initramfs
from .kernel import Kernel
from .machine import Machine


class GuestTopology(Topology):
    """guest: the Machine. workers: how many the dataplane runs, each with a processor of its own.
    huge_pages: its memory is made of them. numa_nodes: as Machine's; with 2, it has a processor
    to spare.
    """

    def __init__(self, build_dir, workers=1, huge_pages=False, numa_nodes=1, **settings):
        super().__init__(build_dir, workers=workers, **settings)
        self._huge_pages = huge_pages
        self._numa_nodes = numa_nodes
        self.guest = None

    def _make_box_node(self):
        kernel = Kernel()
        directory = self._directory("guest")
        build_initramfs(directory / "initramfs", kernel, guest_programs(self._build_dir))
        taps = []
        for index, (bridge, _) in enumerate(self._sides()):
            taps.append(f"guest{index}")
            network.plug_in_tap(self._switch, bridge, taps[-1])
        self.guest = Machine(self._switch, directory, kernel, directory / "initramfs", taps,
                             processors=self.workers + self._numa_nodes,
                             numa_nodes=self._numa_nodes)
        self.guest.start()
        self.guest.bind_ports()
        return self.guest

    def _make_port(self, box, bridge, index):
        return machine.mac_address(index)

    def _make_programs(self, stack):
        stack.callback(self.guest.stop)
        return GuestBox(self.guest, self._build_dir, self._arms, self.workers,
                        self._huge_pages)
