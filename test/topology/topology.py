# SPDX-License-Identifier: Apache-2.0
"""The whole picture of __init__.py as one context manager."""

import contextlib
import os

from . import memif, network
from .backend import Backend
from .box import WORKERS, Box
from .namespace import Namespace
from .role import ROLES
from .sweep import mark_kept, namespace_name, remove_run, run_cgroup, run_directory



class Topology:
    """Use as `with Topology(build_dir) as topology:`; leaving it removes everything.

    One at a time in a process. Attributes: client (Namespace), box (Box), backends (list of
    Backend), far (Backend or None), remote (Namespace or None), directory and files (paths).
    """

    def __init__(self, build_dir, port_driver="af_packet", backends=3, arms=2,
                 narrow_links=False, workers=WORKERS, queues=0):
        """queues: of each port, and the dataplane is told so. 0: one, and it opens as many as it likes.
        """
        self._pid = os.getpid()
        self._build_dir = build_dir
        self.port_driver = port_driver
        self._backend_count = backends
        self._arms = arms
        self.workers = workers
        self._queues = queues
        self._port_specs = []
        self._with_narrow_links = narrow_links
        self._front, self._back = ("front", "back") if arms == 2 else ("everybody", "everybody")
        self._kept = False
        self._stack = contextlib.ExitStack()
        self.directory = run_directory(self._pid)
        self.files = self.directory / "files"
        self.backends = []
        self.far = None
        self.remote = None
        self._router = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(remove_run, self._pid)
            self.files.mkdir(parents=True)
            self._make_nodes()
            self._make_backends(stack)
            if self._with_narrow_links:
                self._make_far(stack)
                self._make_remote()
            self.prepare_for("full_nat")
            self.box = self._make_programs(stack)
            stack.callback(self.box.stop)
            self.box.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        if not self._kept:
            self._stack.close()

    @property
    def every_backend(self):
        return self.backends + ([self.far] if self.far else [])

    @property
    def twin_of_backends(self):
        return network.twin(self._arms - 1)

    def keep(self):
        """Leaves everything running when the context ends, until sweep.remove_kept()."""
        mark_kept(self._pid)
        self._kept = True

    def prepare_for(self, mode):
        """The backends play their part in this forwarding mode; at first it is full_nat."""
        role = ROLES[mode]
        nodes = [backend.namespace for backend in self.backends]
        for node in nodes + ([self._router] if self._router else []):
            network.set_default_gateway(node, network.GATEWAYS[role.gateway])
        for backend in self.every_backend:
            backend.own_vips(role.owns_vips)
            if role.decapsulates:
                backend.end_tunnels()

    def restore(self):
        """As in the beginning, but for the services: starts again whatever is not running."""
        self.prepare_for("full_nat")
        for backend in self.every_backend:
            if not backend.nginx.running:
                backend.start()
        if not self.box.dataplane.running:
            self.box.start_dataplane()
        if not self.box.controlplane.running:
            self.box.start_controlplane()

    @contextlib.contextmanager
    def server_in(self, namespace, name, ipv4, ipv6):
        """A Backend that is none: the same server on a node outside, while the context lasts."""
        with contextlib.ExitStack() as stack:
            yield self._start_backend(stack, name, namespace, ipv4, ipv6)

    def attach_toa(self):
        local_addresses = network.LOCAL_IPV4 + network.LOCAL_IPV6
        for backend in self.every_backend:
            backend.attach_toa(self._build_dir / "toa" / "steelyard-toa", local_addresses)

    def detach_toa(self):
        for backend in self.every_backend:
            backend.detach_toa()

    @property
    def switch(self):
        """The namespace of the bridges."""
        return self._switch

    def plug_in_tap_of_backend(self, tap):
        """A tap of the switch's, for a machine beside the backends."""
        network.plug_in_tap(self._switch, self._back, tap)

    def _namespace(self, node):
        return Namespace(namespace_name(self._pid, node)).create()

    def _directory(self, node):
        path = self.directory / node
        path.mkdir()
        return path

    def _make_programs(self, stack):
        if self.port_driver == "memif":
            panel = memif.patch_panel(self.box_namespace, self.directory, self._arms,
                                      self._queues or 1)
            stack.callback(panel.stop)
            panel.start()
        return Box(self.box_namespace, self._directory("box"), self._build_dir, self._port_specs,
                   self.workers)

    def _make_nodes(self):
        self._switch = self._namespace("switch")
        for bridge in dict.fromkeys((self._front, self._back)):
            network.add_bridge(self._switch, bridge)
        self.client = self._namespace("client")
        self._plug_in(self._front, self.client, "client0", (f"{network.CLIENT_IPV4}/24",
                                                            f"{network.CLIENT_IPV6}/64"))
        self._make_box()
        self._edge = self._namespace("edge")
        network.keep_addresses_apart(self._edge)
        self._plug_in(self._front, self._edge, "front0", network.EDGE_CLIENT_SIDE)
        self._plug_in(self._back, self._edge, "back0", network.EDGE_BACKEND_SIDE)
        network.forward(self._edge)

    def _make_box(self):
        box = self.box_namespace = self._make_box_node()
        for index, (bridge, addresses) in enumerate(self._sides()):
            network.make_twin(box, index, self._make_port(box, bridge, index), addresses)
        network.add_lent_addresses(box, self._arms - 1, network.LOCAL_IPV4, network.LOCAL_IPV6)
        network.add_lent_addresses(box, 0, (network.OUTSIDE_IPV4,), (network.OUTSIDE_IPV6,))
        network.forward(box)

    def _sides(self):
        """Of each port: its bridge and its twin's addresses."""
        if self._arms == 1:
            return [(self._front, network.BOX_CLIENT_SIDE + network.BOX_BACKEND_SIDE)]
        return [(self._front, network.BOX_CLIENT_SIDE), (self._back, network.BOX_BACKEND_SIDE)]

    def _make_box_node(self):
        return self._namespace("box")

    def _make_port(self, box, bridge, index):
        """Returns the port's MAC."""
        name = f"port{index}"
        self._plug_in(bridge, box, name, queues=self._queues or 1)
        network.make_port(box, name)
        mac = box.run(["cat", f"/sys/class/net/{name}/address"]).stdout.strip()
        self._port_specs.append(self._port_spec(name, index, mac))
        return mac

    def _port_spec(self, name, index, mac):
        if self.port_driver == "memif":
            return memif.port_spec(self.directory, index, mac, self._queues)
        limit = f",queues={self._queues}" if self._queues else ""
        return f"{self.port_driver}:{name}{limit}"

    def _make_backends(self, stack):
        for number in range(1, self._backend_count + 1):
            name = f"backend{number}"
            namespace = self._namespace(name)
            ipv4, ipv6 = network.backend_ipv4(number), network.backend_ipv6(number)
            self._plug_in(self._back, namespace, "eth0", (f"{ipv4}/24", f"{ipv6}/64"))
            self.backends.append(self._start_backend(stack, name, namespace, ipv4, ipv6))

    def _make_far(self, stack):
        self._router, namespace = self._namespace("router"), self._namespace("far")
        self._plug_in(self._back, self._router, "eth0", network.ROUTER_BACKEND_SIDE)
        network.forward(self._router)
        network.make_narrow_link(self._router, "far0", network.FAR_SIDE, namespace,
                                 (f"{network.FAR_IPV4}/24", f"{network.FAR_IPV6}/64"))
        for node in (self.box_namespace, self._edge):
            network.add_routes(node, network.FAR_SIDE, network.ROUTER_BACKEND_SIDE)
        self.far = self._start_backend(stack, "far", namespace, network.FAR_IPV4, network.FAR_IPV6)

    def _make_remote(self):
        self.remote = self._namespace("remote")
        network.make_narrow_link(self._edge, "remote0", network.REMOTE_SIDE, self.remote,
                                 (f"{network.REMOTE_IPV4}/24", f"{network.REMOTE_IPV6}/64"))
        network.add_routes(self.box_namespace, network.REMOTE_SIDE, network.EDGE_CLIENT_SIDE)

    def _plug_in(self, bridge, namespace, interface, addresses=(), queues=1):
        network.plug_in(self._switch, bridge, namespace, interface, addresses, queues)

    def _start_backend(self, stack, name, namespace, ipv4, ipv6):
        backend = Backend(name, namespace, ipv4, ipv6, self._directory(name), self.files,
                          run_cgroup(self._pid) / name)
        stack.callback(backend.stop)
        backend.start()
        return backend
