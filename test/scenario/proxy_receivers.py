# SPDX-License-Identifier: Apache-2.0
"""Receivers of PROXY headers on a backend: HAProxy, and two small servers that read the header
themselves (haproxy's doc/proxy-protocol.txt, section 2.2). nginx is each backend's own.

The small servers are threads of the test with sockets of the backend's namespace; use them as
contexts.
"""

import contextlib
import ipaddress
import socket
import struct
import threading

from topology import Program
from topology.backend import HTTP_PORT

HAPROXY_PORT = 8082
GREETING_PORT = 8083
DATAGRAM_PORT = 8084
LIMIT_S = 30

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXY_COMMAND = 0x21
STREAM, DATAGRAM = 1, 2

_HAPROXY = """
global
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client {limit}s
  timeout server {limit}s
frontend proxied
  bind 0.0.0.0:{port} accept-proxy
  bind [::]:{port} v6only accept-proxy
  acl who path /
  http-request return content-type text/plain lf-string "{name} %[src] %[src_port] %[dst]" if who
  default_backend files
backend files
  server nginx 127.0.0.1:{http_port}
"""


@contextlib.contextmanager
def haproxy(backend):
    """Answers / with "<name> <client> <its port> <VIP>"; everything else is nginx's."""
    configuration = backend.directory / "haproxy.cfg"
    configuration.write_text(_HAPROXY.format(name=backend.name, port=HAPROXY_PORT,
                                             http_port=HTTP_PORT, limit=LIMIT_S))
    program = Program(f"haproxy on {backend.name}", backend.namespace.enter(
        ["haproxy", "-db", "-f", str(configuration)]), backend.directory / "haproxy.out")
    program.start()
    try:
        program.wait_until(lambda: backend.namespace.run(
            ["ss", "-Hltn", f"sport = {HAPROXY_PORT}"]).stdout.count("\n") == 2, "it listens")
        yield
    finally:
        program.stop()


def parse_header(message, kind):
    """((client, port), (VIP, port), what follows the header); None: it begins with none."""
    if not message.startswith(SIGNATURE):
        return None
    command, family, length = struct.unpack("!BBH", message[12:16])
    assert command == PROXY_COMMAND and family in (0x10 | kind, 0x20 | kind), message[:16]
    size = 4 if family & 0x10 else 16
    assert length == 2 * size + 4
    addresses, rest = message[16:16 + length], message[16 + length:]
    assert len(addresses) == length, "the header is not whole"
    client_port, vip_port = struct.unpack("!HH", addresses[2 * size:])
    return ((str(ipaddress.ip_address(addresses[:size])), client_port),
            (str(ipaddress.ip_address(addresses[size:2 * size])), vip_port), rest)


class _Server:
    """A thread that serves a socket until the context ends."""

    def __init__(self, backend, family, kind, port):
        self._socket = backend.namespace.socket(
            socket.AF_INET if family == 4 else socket.AF_INET6, kind)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("", port))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ended = False

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._ended = True
        self._thread.join(LIMIT_S)
        self._socket.close()

    def _run(self):
        self._socket.settimeout(0.1)
        while not self._ended:
            with contextlib.suppress(TimeoutError):
                self._serve()

    def _serve(self):
        raise NotImplementedError


class GreetingServer(_Server):
    """Speaks first: "<client> <its port> <VIP> <its port>" and a line end as soon as it has the
    header, then sends back whatever comes until the client has closed its side."""

    def __init__(self, backend, family):
        super().__init__(backend, family, socket.SOCK_STREAM, GREETING_PORT)
        self._socket.listen(512)

    def _serve(self):
        connection = self._socket.accept()[0]
        threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    @staticmethod
    def _greet(connection):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(LIMIT_S)
            first = connection.recv(65536)
            (client, client_port), (vip, vip_port), rest = parse_header(first, STREAM)
            connection.sendall(f"{client} {client_port} {vip} {vip_port}\n".encode() + rest)
            while data := connection.recv(65536):
                connection.sendall(data)


class DatagramServer(_Server):
    """Answers each datagram with "<client> <its port> <VIP> <its port> <payload>"; one without a
    header with "none <payload>"."""

    def __init__(self, backend, family):
        super().__init__(backend, family, socket.SOCK_DGRAM, DATAGRAM_PORT)

    def _serve(self):
        message, sender = self._socket.recvfrom(65536)
        parsed = parse_header(message, DATAGRAM)
        if parsed is None:
            return self._socket.sendto(b"none " + message, sender)
        (client, client_port), (vip, vip_port), payload = parsed
        return self._socket.sendto(
            f"{client} {client_port} {vip} {vip_port} ".encode() + payload, sender)
