# SPDX-License-Identifier: Apache-2.0
"""An ordinary server that knows nothing of TOA: answers every line with what accept() and
getpeername() said about the peer, as one line of JSON. Arguments: ipv4|ipv6|dual PORT, repeated."""

import json
import socket
import socketserver
import sys
import threading


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for _ in self.rfile:
            peer = self.request.getpeername()
            answer = {"accept": self.client_address[:2], "getpeername": peer[:2]}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(family, port):
    server = Server(("", port), Handler, bind_and_activate=False)
    if family != "ipv4":
        server.socket.close()
        server.address_family = socket.AF_INET6
        server.socket = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        server.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, family == "ipv6")
    server.server_bind()
    server.server_activate()
    threading.Thread(target=server.serve_forever).start()


for family_name, port_text in zip(sys.argv[1::2], sys.argv[2::2]):
    serve(family_name, int(port_text))
print("listening", flush=True)
