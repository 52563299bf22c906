# SPDX-License-Identifier: Apache-2.0
"""A box with one worker among neighbours that are none: a generator makes what it receives and takes
what it sends, and answers no ARP, so that the box is told who has which MAC.

Clients are beyond port 0, backends beyond port 1; both daemons run in one namespace.
"""

from . import network
from .box import Box
from .process import Program
from .shell import wait_until


class LoneBox(Box):
    # pylint: disable-next=too-many-arguments
    def __init__(self, namespace, directory, build_dir, ports, session_capacity, packet_memory_mib,
                 huge_pages, session_directory=None, environment=(), dataplane_options=(),
                 session_capacity_ipv6=None):
        """ports: two, as --port takes them. session_capacity: of either family, if that of IPv6 is
        not told."""
        self._environment = list(environment)
        self._packet_memory_mib = packet_memory_mib
        self._dataplane_options = list(dataplane_options)
        self._options = [
            "--memory", "hugepages" if huge_pages else "none", "--session-capacity", session_capacity,
            "--session-capacity-ipv6", session_capacity_ipv6 or session_capacity]
        self._session_directory = session_directory
        super().__init__(namespace, directory, build_dir, ports, workers=1)

    def start(self):
        for index, addresses in enumerate((network.BOX_CLIENT_SIDE, network.BOX_BACKEND_SIDE)):
            name = network.twin(index)
            self.namespace.ip(f"tuntap add dev {name} mode tap multi_queue",
                              f"link set {name} mtu {network.MTU} up")
            network.add_addresses(self.namespace, name, addresses)
        network.forward(self.namespace)
        super().start()

    def apply(self, services_yaml):
        """The control plane hears of lent addresses a moment after they are there."""
        path = self.directory / "lent.yaml"
        path.write_text(services_yaml)
        wait_until(lambda: self.ctl("diff", "-f", path, check=False).returncode == 0,
                   lambda: self.ctl("diff", "-f", path, check=False).stderr)
        return super().apply(services_yaml)

    # pylint: disable-next=too-many-arguments
    def change_ports(self, ports, packet_memory_mib, environment, dataplane_options, timeout_s):
        """A dataplane with others takes the place of the one that runs, and adopts its sessions. Who
        has which MAC must be told again: the twins have other ones now."""
        self.dataplane.stop()
        self._environment = list(environment)
        self._packet_memory_mib = packet_memory_mib
        self._dataplane_options = list(dataplane_options)
        self.dataplane = Program(self.dataplane.name, self.namespace.enter(
            self._dataplane_command(ports)), self.dataplane.log_path)
        self.start_dataplane(timeout_s)
        self.wait_synced()

    def know_clients(self, prefix, gateway, mac):
        """All clients, of a prefix, are behind one gateway."""
        front = network.twin(0)
        self.namespace.ip(
            f"neighbour replace {gateway} lladdr {mac} dev {front} nud permanent",
            f"route replace {prefix} via {gateway} dev {front}")

    def know_backends(self, addresses, mac):
        self.namespace.ip(*(
            f"neighbour replace {address} lladdr {mac} dev {network.twin(1)} nud permanent"
            for address in addresses))

    def lend(self, local_addresses):
        """The host lends local addresses, of one family, to the dataplane."""
        ipv6 = ":" in local_addresses[0]
        network.add_lent_addresses(self.namespace, 1, [] if ipv6 else local_addresses,
                                   local_addresses if ipv6 else [])

    def _dataplane_command(self, ports):
        main_core, worker_cores = self._cores()
        if self._session_directory:
            self.session_directory = self._session_directory
        return self._environment + [
            self.dataplane_program, *(word for port in ports for word in ("--port", port)),
            "--main-core", main_core, "--worker-cores", worker_cores,
            "--memory-mib", self._packet_memory_mib, *self._options, *self._dataplane_options,
            "--control-socket", self.dataplane_socket,
            "--session-directory", self.session_directory]
