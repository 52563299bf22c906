# SPDX-License-Identifier: Apache-2.0
"""Ports in shared memory: dpdk-testpmd carries packets between each and the box's veth ends, or the
generator of bench/wire is behind them."""

import os

from .process import Program
from .wire import GeneratorInTestpmd

_MEMORY_MIB = 256


def socket_path(directory, index):
    return directory / f"memif{index}.sock"


def port_spec(directory, index, mac, queues):
    limit = f"queues={queues}," if queues else ""
    return f"memif:{limit}{_port_arguments(directory, index, mac)}"


def port_device(directory, index, mac):
    """The same port, as --vdev takes it."""
    return f"net_memif{index},{_port_arguments(directory, index, mac)}"


def _port_arguments(directory, index, mac):
    return f"role=server,id=0,socket-abstract=no,mac={mac},socket={socket_path(directory, index)}"


def far_end(directory, index):
    """Of port N: the virtual device of whoever sits there, as --vdev takes it."""
    return (f"net_memif{index},role=client,id=0,socket-abstract=no,"
            f"socket={socket_path(directory, index)}")


def patch_panel(box_namespace, directory, port_count, queues):
    """The Program that joins port N's memif to the interface portN. Whichever end comes first waits
    for the other."""
    devices = []
    for index in range(port_count):
        devices += [f"--vdev={far_end(directory, index)}",
                    f"--vdev=net_af_packet{index},iface=port{index},qpairs={queues}"]
    cores = sorted(os.sched_getaffinity(0))
    # Its own statistics every hour: it is not asked for any, and needs no input this way.
    return Program("dpdk-testpmd", box_namespace.enter(
        ["dpdk-testpmd", "--no-huge", "-m", _MEMORY_MIB, "--no-pci", "--no-telemetry", "--no-shconf",
         "--file-prefix", f"{box_namespace.name}-memif",
         "--lcores", f"0@{cores[0]},1@{cores[0]}", *devices, "--",
         "--forward-mode=io", f"--rxq={queues}", f"--txq={queues}", "--total-num-mbufs=16384",
         "--stats-period=3600"]), directory / "testpmd.out")


class GeneratorProcess(GeneratorInTestpmd):
    """The generator at the far ends of both ports, on a core of its own. What a full ring has no room
    for is lost."""

    # pylint: disable-next=too-many-arguments
    def __init__(self, name, box, directory, build_dir, core, huge_pages, memory_mib, macs):
        """box: what the generator is to expect of it (wire_config.h). directory: of the ports, too, which
        have these MACs."""
        # It carries what is made on ports 0 and 1 to 2 and 3, and back.
        super().__init__(name, box, directory, build_dir, (core, core), huge_pages, memory_mib,
                         ["--forward-mode=mac", "--portlist=0,2,1,3",
                          *(f"--eth-peer={port},{mac}" for port, mac in zip((2, 3), macs))],
                         [far_end(directory, index) for index in (0, 1)])
