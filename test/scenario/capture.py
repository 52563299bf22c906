# SPDX-License-Identifier: Apache-2.0
"""tcpdump in a namespace, read with scapy."""

import pathlib
import tempfile

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.utils import PcapReader
from topology import Program
from topology.shell import wait_until


def ip_layer(packet):
    return packet[IP] if packet.haslayer(IP) else packet[IPv6]


class Capture:
    """Everything that matches filter on an interface while the context lasts."""

    def __init__(self, namespace, interface, filter_text):
        self._directory = tempfile.TemporaryDirectory(prefix="steelyard-capture-")
        directory = pathlib.Path(self._directory.name)
        self._file = directory / "packets.pcap"
        self._tcpdump = Program("tcpdump", namespace.enter(
            ["tcpdump", "-i", interface, "-n", "-U", "--immediate-mode", "-Z", "root",
             "-w", str(self._file), filter_text]), directory / "tcpdump.out")
        self._packets = []

    def __enter__(self):
        self._tcpdump.start()
        self._tcpdump.wait_until(lambda: "listening on" in self._tcpdump.log, "it listens")
        return self

    def __exit__(self, *exception):
        self._tcpdump.stop()
        self._packets = self._read()
        self._directory.cleanup()

    def packets(self):
        """In the order of capture; once the context has ended."""
        return self._packets

    def wait_for(self, condition):
        """Until condition(packets so far) is true."""
        wait_until(lambda: condition(self._read()), "the packets are captured", timeout_s=5)

    def wait_for_end_of_connection(self):
        """Until the acknowledgement of the last FIN, or a reset, is captured."""

        def ended(packets):
            fins = [i for i, p in enumerate(packets) if p[TCP].flags.F]
            resets = any(p[TCP].flags.R for p in packets)
            return resets or fins and len(packets) > fins[-1] + 1 or fins and self._one_way(packets)

        self.wait_for(ended)

    @staticmethod
    def _one_way(packets):
        return len({p[TCP].dport for p in packets}) == 1

    def _read(self):
        """A packet that is being written at this moment is left for the next time."""
        found = []
        try:
            with PcapReader(str(self._file)) as reader:
                for packet in reader:
                    found.append(packet)
        except (EOFError, OSError, ValueError):
            pass
        return found
