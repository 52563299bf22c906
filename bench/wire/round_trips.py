# SPDX-License-Identifier: Apache-2.0
"""Round trips of small datagrams, without the time that the two ends take.

A request's way begins right before it is sent and ends when the kernel has it for the server
(SO_TIMESTAMPNS); so with the answer's. A round trip is the sum of both: how long either end waits
for a core is not in it. Requests go out by the clock, whether or not answers have come.
"""

import select
import socket
import struct
import time

INTERVAL_NS = 1_000_000
PATIENCE_NS = 200_000_000  # what has not come back so long after the last request is lost

_SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; Python has no name for it
_TIMESPEC = struct.Struct("=qq")
_REQUEST = struct.Struct("=q")  # when it was sent
_ANSWER = struct.Struct("=qq")  # how long the request was under way; when the answer was sent


def round_trips(client, server, target, seconds):
    """What each round trip took, in ns, and how many requests were sent. client and server are UDP
    sockets; the server is bound, and gets what the client sends to target."""
    for end in (client, server):
        end.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    taken_ns, sent = [], 0
    next_ns = time.monotonic_ns()
    end_ns = next_ns + int(seconds * 1e9)
    while len(taken_ns) < sent or next_ns < end_ns:
        now_ns = time.monotonic_ns()
        if now_ns > end_ns + PATIENCE_NS:
            break
        if next_ns <= now_ns < end_ns:
            client.sendto(_REQUEST.pack(time.time_ns()), target)
            sent += 1
        if next_ns <= now_ns:
            next_ns = max(next_ns + INTERVAL_NS, now_ns)
        readable, _, _ = select.select([client, server], [], [], (next_ns - now_ns) / 1e9)
        if server in readable:
            _answer(server)
        if client in readable:
            taken_ns.append(_taken_ns(client))
    return taken_ns, sent


def _answer(server):
    request, received_ns, sender = _receive(server)
    under_way_ns = received_ns - _REQUEST.unpack(request)[0]
    server.sendto(_ANSWER.pack(under_way_ns, time.time_ns()), sender)


def _taken_ns(client):
    answer, received_ns, _ = _receive(client)
    under_way_ns, answered_ns = _ANSWER.unpack(answer)
    return under_way_ns + received_ns - answered_ns


def _receive(end):
    """A datagram, when the kernel had it, and its sender."""
    data, ((_, _, timestamp),), _, sender = end.recvmsg(64, socket.CMSG_SPACE(_TIMESPEC.size))
    seconds, nanoseconds = _TIMESPEC.unpack(timestamp)
    return data, seconds * 10**9 + nanoseconds, sender
