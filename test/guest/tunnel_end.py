# SPDX-License-Identifier: Apache-2.0
"""A backend whose tunnels Linux ends: a guest with the kernel's own drivers and a web server.

Kernels that tests run on need not have modules for tunnels; the guest's has. So it judges what
the box sends: every outer header must please the kernel before a server sees the packet.
"""

import contextlib
import pathlib

from topology import network
from topology.backend import GUE_PORT

from .initramfs import build_initramfs
from .kernel import Kernel
from .machine import Machine

_IPV4, _IPV6 = "10.0.2.31", "fd00:2::31"
# Interface and module: for IPv4 in IPv4, IPv6 in IPv4, and either in IPv6.
_TUNNELS = {"tunl0": "ipip", "sit0": "sit", "any6": "ip6_tunnel"}
FILE_BYTES = 200_000


class TunnelEnd:
    """As a Backend, as far as modes.Mode is concerned."""

    name = "tunnel_end"
    ipv4 = _IPV4
    ipv6 = _IPV6

    def __init__(self, guest):
        self.guest = guest
        self.digest = None

    def set_up(self):
        guest = self.guest
        for module in ("virtio_pci", "virtio_net", *_TUNNELS.values(), "fou", "fou6"):
            guest.run(["modprobe", module])
        guest.sysctl({"net.ipv4.conf.all.arp_ignore": 1, "net.ipv4.conf.all.arp_announce": 2})
        guest.ip("link set eth0 up", f"address add {_IPV4}/24 dev eth0",
                 f"address add {_IPV6}/64 dev eth0 nodad")
        network.add_addresses(guest, "lo", (network.VIP_IPV4, network.VIP_IPV6))
        network.set_default_gateway(guest, network.EDGE_BACKEND_SIDE)
        guest.ip(f"link add any6 type ip6tnl mode any local {_IPV6} remote ::",
                 *(f"link set {tunnel} up" for tunnel in _TUNNELS))
        guest.run(["ip", "fou", "add", "port", GUE_PORT, "gue"])
        guest.run(["ip", "-6", "fou", "add", "port", GUE_PORT, "gue"])
        # Answers to what comes out of a tunnel do not go into it.
        guest.sysctl({f"net.ipv4.conf.{name}.rp_filter": 0 for name in ("all", "tunl0")})
        guest.run_script(f"mkdir /www; head -c {FILE_BYTES} /dev/urandom >/www/noise\n"
                         f"echo {self.name} >/www/index.html\n"
                         "httpd -p 80 -h /www")
        self.digest = guest.run(["sha256sum", "/www/noise"]).stdout.split()[0]

    def received(self):
        """Packets that came out of tunnels; whatever was refused is an error of theirs."""
        return {kind: sum(int(self.guest.run(
            ["cat", f"/sys/class/net/{tunnel}/statistics/{kind}"]).stdout)
            for tunnel in _TUNNELS) for kind in ("rx_packets", "rx_errors")}


@contextlib.contextmanager
def tunnel_end(topology):
    """A TunnelEnd beside the topology's backends while the context lasts."""
    directory = topology.directory / "tunnel_end"
    directory.mkdir()
    kernel = Kernel()
    build_initramfs(directory / "initramfs", kernel, [pathlib.Path("/bin/ip")])
    topology.plug_in_tap_of_backend("tunnel_end")
    guest = Machine(topology.switch, directory, kernel, directory / "initramfs", ["tunnel_end"],
                    processors=1)
    try:
        guest.start()
        end = TunnelEnd(guest)
        end.set_up()
        yield end
    finally:
        guest.stop()
        topology.switch.ip("link del tunnel_end")
