# SPDX-License-Identifier: Apache-2.0
"""A box with one worker among neighbours that are none: a generator makes what it receives and takes
what it sends, and answers no ARP, so that the box is told who has which MAC.

Clients are beyond port 0, backends beyond port 1; both daemons run in one namespace.
"""

from . import network
from .box import Box


class LoneBox(Box):
    # pylint: disable-next=too-many-arguments
    def __init__(self, namespace, directory, build_dir, ports, session_capacity, packet_memory_mib,
                 huge_pages, session_directory=None, environment=(), dataplane_options=()):
        """ports: two, as --port takes them."""
        self._environment = list(environment)
        self._options = [
            "--memory", "hugepages" if huge_pages else "none", "--memory-mib", packet_memory_mib,
            "--session-capacity", session_capacity, "--session-capacity-ipv6", session_capacity,
            *dataplane_options]
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

    def know_clients(self, prefix, gateway, mac):
        """All clients, of a prefix, are behind one gateway."""
        front = network.twin(0)
        self.namespace.ip(
            f"neighbour replace {gateway} lladdr {mac} dev {front} nud permanent",
            f"route add {prefix} via {gateway} dev {front}")

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
            "--main-core", main_core, "--worker-cores", worker_cores, *self._options,
            "--control-socket", self.dataplane_socket,
            "--session-directory", self.session_directory]
