# SPDX-License-Identifier: Apache-2.0
"""A backend: nginx in a namespace and a control group of its own, and on demand steelyard-toa and
what a DSR mode needs.

GET /anything answers "<name> <address that nginx sees>"; /files/ serves the run's files/ folder;
PUT /upload/<file> stores. Port 8080 is the same server behind one dual-stack socket, where IPv4
clients appear as IPv6 ones. The access log has a line a request: "<address> <request URI>".
Port 8081 is the same behind the PROXY protocol, whose header's addresses are answered and logged.
"""

import pathlib
import sys

from . import network
from .cgroup import enter_cgroup
from .process import Program
from .shell import wait_until

HTTP_PORT = 80
DUAL_STACK_PORT = 8080
PROXY_PORT = 8081
GUE_PORT = 6080

_DECAPSULATE = pathlib.Path(__file__).with_name("decapsulate.py")

_CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 8192; }}
http {{
  log_format client '$remote_addr $request_uri';
  log_format proxied '$proxy_protocol_addr $request_uri';
  access_log {directory}/access.log client;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  keepalive_requests 1000000;
  sendfile on;
  server {{
    listen {http_port} backlog=4096;
    listen [::]:{http_port} ipv6only=on backlog=4096;
    listen [::]:{dual_stack_port} ipv6only=off backlog=4096;
    location / {{ default_type text/plain; return 200 "{name} $remote_addr\\n"; }}
    location /files/ {{ alias {files}/; }}
    location /upload/ {{
      alias {directory}/upload/;
      dav_methods PUT;
      client_max_body_size 1g;
    }}
  }}
  server {{
    listen {proxy_port} backlog=4096 proxy_protocol;
    listen [::]:{proxy_port} ipv6only=on backlog=4096 proxy_protocol;
    access_log {directory}/access.log proxied;
    location / {{
      default_type text/plain;
      return 200 "{name} $proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr\n";
    }}
    location /files/ {{ alias {files}/; }}
    location /upload/ {{
      alias {directory}/upload/;
      dav_methods PUT;
      client_max_body_size 1g;
    }}
  }}
}}
"""


class Backend:
    """namespace, its addresses and its servers. start() before use, stop() at the end."""

    def __init__(self, name, namespace, ipv4, ipv6, directory, files, cgroup):
        self.name = name
        self.namespace = namespace
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.directory = directory
        self.cgroup = cgroup
        (directory / "upload").mkdir(parents=True)
        cgroup.mkdir(parents=True)
        configuration = directory / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(
            directory=directory, name=name, files=files, http_port=HTTP_PORT,
            dual_stack_port=DUAL_STACK_PORT, proxy_port=PROXY_PORT))
        # The shell enters the control group before ip hides /sys behind the namespace's own.
        self.nginx = Program(f"nginx on {name}", enter_cgroup(cgroup, namespace.enter(
            ["nginx", "-c", str(configuration), "-e", str(directory / "error.log")])),
            directory / "nginx.out")
        self.toa = None
        network.keep_addresses_apart(namespace)
        self._decapsulator = Program(f"decapsulate.py on {name}", namespace.enter(
            [sys.executable, "-B", str(_DECAPSULATE), str(GUE_PORT)]), directory / "decapsulate.out")

    def start(self):
        self.nginx.start()
        self.nginx.wait_until(self._listens, "nginx listens on every port")

    def stop(self):
        self.detach_toa()
        self._decapsulator.kill()
        self.nginx.stop()

    def attach_toa(self, program, local_addresses):
        """Starts steelyard-toa for this backend alone; returns when it says that it is attached."""
        command = [program, "--cgroup", self.cgroup]
        for address in local_addresses:
            command += ["--local-address", address]
        log = self.directory / "toa.out"
        log.unlink(missing_ok=True)
        # nsenter, unlike `ip netns exec`, leaves /sys/fs/cgroup in sight.
        self.toa = Program(f"steelyard-toa on {self.name}",
                           ["nsenter", f"--net=/run/netns/{self.namespace.name}", *command], log)
        self.toa.start()
        self.toa.wait_until(lambda: self.toa.log.strip(), "it says that it is attached")

    def detach_toa(self):
        if self.toa:
            self.toa.stop()
            self.toa = None

    def own_vips(self, owns):
        """The VIPs are on the loopback, or they are not."""
        self.namespace.ip("address flush dev lo scope global")
        if owns:
            network.add_addresses(self.namespace, "lo", (network.VIP_IPV4, network.VIP_IPV6))

    def end_tunnels(self):
        """From now on: it touches no packet but those of tunnels to this backend."""
        if not self._decapsulator.running:
            self._decapsulator.log_path.unlink(missing_ok=True)
            self._decapsulator.start()
            self._decapsulator.wait_until(lambda: "ready" in self._decapsulator.log, "it is ready")

    def logged_address(self, request):
        """The client address that nginx logged for the request whose URI has this query string.

        Query strings are the caller's, unique; waits for the line, since nginx logs after the
        response.
        """
        found = wait_until(lambda: self._log_lines_ending(f"?{request}"),
                           f"{self.name} logs request {request}")
        return found[-1].split()[0]

    def logged_lines(self):
        log = self.directory / "access.log"
        return log.read_text().splitlines() if log.exists() else []

    def _log_lines_ending(self, ending):
        return [line for line in self.logged_lines() if line.endswith(ending)]

    def _listens(self):
        listeners = self.namespace.run(["ss", "-H", "-l", "-t", "-n"]).stdout
        return all(word in listeners for word in
                   (f"0.0.0.0:{HTTP_PORT}", f"[::]:{HTTP_PORT}", f"*:{DUAL_STACK_PORT}",
                    f"0.0.0.0:{PROXY_PORT}", f"[::]:{PROXY_PORT}"))
