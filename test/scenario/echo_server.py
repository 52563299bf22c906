# SPDX-License-Identifier: Apache-2.0
"""echo_server.py ADDRESS PORT: sends back what it gets, on many connections."""

import select
import socket
import sys


def main(address, port):
    poll = select.epoll()
    connections = {}
    listener = socket.create_server((address, int(port)), backlog=4096)
    poll.register(listener, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                connection, _ = listener.accept()
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            try:
                data = connections[number].recv(4096)
            except OSError:
                data = b""
            if data:
                connections[number].send(data)
            else:
                connections.pop(number).close()


main(*sys.argv[1:])
