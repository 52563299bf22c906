# SPDX-License-Identifier: Apache-2.0
"""The whole picture of __init__.py as one context manager."""

import contextlib
import os

from . import network
from .backend import Backend
from .box import Box
from .namespace import Namespace
from .sweep import mark_kept, namespace_name, remove_run, run_cgroup, run_directory



class Topology:
    """Use as `with Topology(build_dir) as topology:`; leaving it removes everything.

    One at a time in a process. Attributes: client (Namespace), box (Box), backends (list of
    Backend), far (Backend or None), directory and files (paths).
    """

    def __init__(self, build_dir, port_driver="af_packet", backends=3, arms=2, far=False):
        self._pid = os.getpid()
        self._build_dir = build_dir
        self._port_driver = port_driver
        self._backend_count = backends
        self._arms = arms
        self._with_far = far
        self._kept = False
        self._stack = contextlib.ExitStack()
        self.directory = run_directory(self._pid)
        self.files = self.directory / "files"
        self.backends = []
        self.far = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(remove_run, self._pid)
            self.files.mkdir(parents=True)
            self._make_nodes()
            self._make_backends(stack)
            self.box = Box(self.box_namespace, self._directory("box"), self._build_dir,
                           self._port_driver, self._arms)
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

    def restore(self):
        """Starts again whatever is not running."""
        for backend in self.every_backend:
            if not backend.nginx.running:
                backend.start()
        if not self.box.dataplane.running:
            self.box.start_dataplane()
        if not self.box.controlplane.running:
            self.box.start_controlplane()

    def attach_toa(self):
        local_addresses = network.LOCAL_IPV4 + network.LOCAL_IPV6
        for backend in self.every_backend:
            backend.attach_toa(self._build_dir / "toa" / "steelyard-toa", local_addresses)

    def detach_toa(self):
        for backend in self.every_backend:
            backend.detach_toa()

    def _namespace(self, node):
        return Namespace(namespace_name(self._pid, node)).create()

    def _directory(self, node):
        path = self.directory / node
        path.mkdir()
        return path

    def _make_nodes(self):
        self.client = self._namespace("client")
        self.box_namespace = self._namespace("box")
        self._switch = self._namespace("switch")
        network.make_switch(self._switch)
        if self._arms == 2:
            network.connect(self.client, "client0", self.box_namespace, "port0")
        else:
            network.plug_into_switch(self._switch, self.client, "client0", "to-client")
        network.plug_into_switch(self._switch, self.box_namespace, f"port{self._arms - 1}",
                                 "to-box")
        network.add_addresses(self.client, "client0", (f"{network.CLIENT_IPV4}/24",
                                                       f"{network.CLIENT_IPV6}/64"))
        self._make_ports()

    def _make_ports(self):
        sides = (network.BOX_CLIENT_SIDE, network.BOX_BACKEND_SIDE)
        if self._arms == 1:
            sides = (network.BOX_CLIENT_SIDE + network.BOX_BACKEND_SIDE,)
        for index, addresses in enumerate(sides):
            network.make_port(self.box_namespace, f"port{index}")
            network.make_twin(self.box_namespace, index, addresses)
        network.add_local_addresses(self.box_namespace, self._arms - 1)

    def _make_backends(self, stack):
        for number in range(1, self._backend_count + 1):
            name = f"backend{number}"
            namespace = self._namespace(name)
            ipv4, ipv6 = network.backend_ipv4(number), network.backend_ipv6(number)
            network.plug_into_switch(self._switch, namespace, "eth0", f"to-{name}")
            network.add_addresses(namespace, "eth0", (f"{ipv4}/24", f"{ipv6}/64"))
            self.backends.append(self._start_backend(stack, name, namespace, ipv4, ipv6))
        if self._with_far:
            self.far = self._make_far(stack)

    def _make_far(self, stack):
        router, namespace = self._namespace("router"), self._namespace("far")
        network.plug_into_switch(self._switch, router, "eth0", "to-router")
        network.add_addresses(router, "eth0", (f"{network.ROUTER_IPV4}/24",
                                               f"{network.ROUTER_IPV6}/64"))
        network.make_router(router, namespace)
        twin = self.twin_of_backends
        self.box_namespace.ip(f"route add 10.0.3.0/24 via {network.ROUTER_IPV4} dev {twin}",
                              f"route add fd00:3::/64 via {network.ROUTER_IPV6} dev {twin}")
        return self._start_backend(stack, "far", namespace, network.FAR_IPV4, network.FAR_IPV6)

    def _start_backend(self, stack, name, namespace, ipv4, ipv6):
        backend = Backend(name, namespace, ipv4, ipv6, self._directory(name), self.files,
                          run_cgroup(self._pid) / name)
        stack.callback(backend.stop)
        backend.start()
        return backend
