# SPDX-License-Identifier: Apache-2.0
"""Connections that a test holds for long: opened once, used again and again."""

import socket


class HeldConnections:
    """HTTP connections of the client's, kept alive. exchange() sends a request over each of them
    and reads the answer: a connection that was reset or hangs makes it fail."""

    def __init__(self, topology, address, count, port=80, limit_s=10, source_address=None):
        self._request = f"GET / HTTP/1.1\r\nHost: held\r\n\r\n".encode()
        self._limit_s = limit_s
        self._sockets = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for _ in range(count):
            connection = topology.client.socket(family, socket.SOCK_STREAM)
            self._sockets.append(connection)
            connection.settimeout(limit_s)
            if source_address:
                connection.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                connection.bind((source_address, 0))
            connection.connect((address, port))

    def __len__(self):
        return len(self._sockets)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for connection in self._sockets:
            connection.close()

    def exchange(self, batch=1000):
        for first in range(0, len(self._sockets), batch):
            some = self._sockets[first:first + batch]
            for connection in some:
                connection.sendall(self._request)
            for connection in some:
                self._read_answer(connection)

    @staticmethod
    def _read_answer(connection):
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += _received(connection)
        head, body = answer.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                      if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += _received(connection)


def _received(connection):
    data = connection.recv(65536)
    assert data, "the connection was closed"
    return data

