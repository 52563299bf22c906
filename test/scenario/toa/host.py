# SPDX-License-Identifier: Apache-2.0
"""The backend host and the link on which RawTcp speaks to it."""

import contextlib
import json
import os
import pathlib
import socket
import sys

from topology.cgroup import enter_cgroup, remove_cgroup
from topology.namespace import Namespace
from topology.process import Program
from topology.sweep import namespace_name, run_cgroup
from topology.shell import wait_until

from .raw_tcp import RawTcp

BACKEND_IPV4, BACKEND_IPV6 = "10.9.0.2", "fd09::2"
BALANCER_IPV4, BALANCER_IPV6 = "10.9.0.100", "fd09::100"
STRANGER_IPV4, STRANGER_IPV6 = "10.9.0.200", "fd09::200"
PREFIX_LENGTH = {4: 24, 6: 64}
# name of a listening socket: (nginx's port, the peer server's port)
PORTS = {"ipv4": (80, 81), "ipv6": (80, 81), "dual": (8080, 8081)}
SPARE_PORT = 9000

_NGINX = """
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ }}
http {{
  log_format peer '$remote_addr $remote_port';
  access_log {directory}/access.log peer;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 80;
    listen [::]:80 ipv6only=on;
    listen [::]:8080 ipv6only=off;
    location / {{ default_type text/plain; return 200 "$remote_addr $remote_port\\n"; }}
  }}
}}
"""


class Host:
    """create() before use, delete() at the end. Servers start without steelyard-toa attached."""

    def __init__(self, binary, directory):
        self.binary = binary
        self.directory = directory
        self.cgroup = run_cgroup(os.getpid()) / "toa"
        self._balancer = Namespace(namespace_name(os.getpid(), "toa-lb"))
        self.namespace = Namespace(namespace_name(os.getpid(), "toa-host"))
        self._servers = []
        self._count = 0

    def create(self):
        self._balancer.create()
        self.namespace.create()
        self._balancer.run(["ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth0",
                            "netns", self.namespace.name])
        self._balancer.sysctl({"net.ipv6.conf.veth0.disable_ipv6": 1})
        self._balancer.ip("link set veth0 up")
        self.namespace.ip("link set veth0 up",
                          f"address add {BACKEND_IPV4}/{PREFIX_LENGTH[4]} dev veth0",
                          f"address add {BACKEND_IPV6}/{PREFIX_LENGTH[6]} dev veth0 nodad")
        self._link = self._balancer.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._link.bind(("veth0", 0x0003))
        self._macs = (self._link.getsockname()[4], self._mac(self.namespace))
        own = self._macs[0].hex(":")
        self.namespace.ip(*(f"neighbour add {address} lladdr {own} dev veth0 nud permanent"
                            for address in (BALANCER_IPV4, BALANCER_IPV6, STRANGER_IPV4,
                                            STRANGER_IPV6)))
        self.cgroup.mkdir(parents=True)
        self._start_nginx()
        self.start_peer_server(self.cgroup, *(word for name, ports in PORTS.items()
                                              for word in (name, ports[1])))
        return self

    def delete(self):
        for server in reversed(self._servers):
            server.stop()
        self.namespace.delete()
        self._balancer.delete()
        remove_cgroup(self.cgroup)
        with contextlib.suppress(OSError):
            self.cgroup.parent.rmdir()

    def start_peer_server(self, cgroup, *families_and_ports):
        """Returns when it listens. `cgroup` None: in this process's own."""
        script = pathlib.Path(__file__).with_name("peer_server.py")
        command = self.namespace.enter([sys.executable, script, *families_and_ports])
        if cgroup is not None:
            command = enter_cgroup(cgroup, map(str, command))
        server = Program("peer server", command, self._log_path("peer-server"))
        self._servers.append(server)
        server.start()
        server.wait_until(lambda: "listening" in server.log, "it listens")
        return server

    def toa_program(self, *arguments):
        """steelyard-toa, not started; without --cgroup and --local-address of its own."""
        return Program("steelyard-toa", [self.binary, *arguments], self._log_path("toa"))

    @contextlib.contextmanager
    def attached(self, *arguments, local=(BALANCER_IPV4, BALANCER_IPV6)):
        """steelyard-toa runs on the host's control group."""
        arguments += ("--cgroup", self.cgroup)
        for address in local:
            arguments += ("--local-address", address)
        program = self.toa_program(*arguments)
        program.start()
        try:
            program.wait_until(lambda: "attached to" in program.log, "it is attached")
            yield program
        finally:
            program.stop()

    def connection(self, source, port):
        destination = BACKEND_IPV6 if ":" in source else BACKEND_IPV4
        return RawTcp(self._link, self._macs, source, destination, port)

    def nginx_log(self, line):
        """Waits until nginx has logged the line: it does so after it has answered."""
        wait_until(lambda: line in (self.directory / "access.log").read_text().splitlines(),
                   lambda: f"nginx logs '{line}'\n{(self.directory / 'access.log').read_text()}")

    def _start_nginx(self):
        configuration = self.directory / "nginx.conf"
        configuration.write_text(_NGINX.format(directory=self.directory))
        nginx = Program("nginx", enter_cgroup(self.cgroup, self.namespace.enter(
            ["nginx", "-c", str(configuration), "-e", str(self.directory / "error.log")])),
            self.directory / "nginx.out")
        self._servers.append(nginx)
        nginx.start()
        nginx.wait_until(lambda: "*:8080" in self.namespace.run(["ss", "-Hltn"]).stdout,
                         "nginx listens")

    def _log_path(self, name):
        self._count += 1
        return self.directory / f"{name}{self._count}.out"

    @staticmethod
    def _mac(namespace):
        link = json.loads(namespace.run(["ip", "-j", "link", "show", "veth0"]).stdout)[0]
        return bytes.fromhex(link["address"].replace(":", ""))
