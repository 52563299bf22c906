# SPDX-License-Identifier: Apache-2.0
"""Connections that a test holds for long: opened once, used again and again."""

import contextlib
import itertools
import multiprocessing
import pathlib
import socket
import sys

from topology import Program

ECHO_SERVER = pathlib.Path(__file__).with_name("echo_server.py")
# A process may not have open as many files as a test wants connections.
CONNECTIONS_PER_PROCESS = 10_000


@contextlib.contextmanager
def echo_servers(backends, ports):
    """One for each of these ports on every backend, while the context lasts."""
    with contextlib.ExitStack() as stack:
        for backend, port in itertools.product(backends, ports):
            server = Program(f"echo server on {backend.name}", backend.namespace.enter(
                [sys.executable, "-B", ECHO_SERVER, backend.ipv4, port]),
                backend.directory / f"echo_server-{port}.out")
            server.start()
            stack.callback(server.kill)
            # pylint: disable-next=cell-var-from-loop
            server.wait_until(lambda: backend.namespace.run(
                ["ss", "-Hltn", f"sport = {port}"]).stdout, "it listens")
        yield


class HeldConnections:
    """Connections of the client's to servers that echo. exchange() sends something over each of
    them and reads it again: one that was reset or hangs makes it fail."""

    def __init__(self, topology, address, ports, count, limit_s=10):
        self._sockets = []
        for number in range(count):
            connection = topology.client.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._sockets.append(connection)
            connection.settimeout(limit_s)
            connection.connect((address, ports[number % len(ports)]))

    def __len__(self):
        return len(self._sockets)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for connection in self._sockets:
            connection.close()

    def exchange(self, batch=500):
        for first in range(0, len(self._sockets), batch):
            some = self._sockets[first:first + batch]
            for connection in some:
                connection.sendall(b"?")
            for connection in some:
                assert connection.recv(1) == b"?", "the connection was closed"


class ManyHeldConnections:
    """The same, in processes of their own."""

    def __init__(self, topology, address, ports, count):
        self._holders = []
        for first in range(0, count, CONNECTIONS_PER_PROCESS):
            ours, theirs = multiprocessing.Pipe()
            holder = multiprocessing.get_context("fork").Process(target=_hold, daemon=True, args=(
                theirs, topology, address, ports, min(CONNECTIONS_PER_PROCESS, count - first)))
            holder.start()
            self._holders.append((holder, ours))
            self._expect_done([ours])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for holder, _ in self._holders:
            holder.kill()
            holder.join()

    def exchange(self):
        pipes = [pipe for _, pipe in self._holders]
        for pipe in pipes:
            pipe.send("exchange")
        self._expect_done(pipes)

    @staticmethod
    def _expect_done(pipes):
        for answer in [pipe.recv() for pipe in pipes]:
            assert answer == "done", answer


def _hold(pipe, topology, address, ports, count):
    try:
        with HeldConnections(topology, address, ports, count, limit_s=30) as held:
            pipe.send("done")
            while pipe.recv() == "exchange":
                held.exchange()
                pipe.send("done")
    except (OSError, AssertionError) as error:
        pipe.send(repr(error))
