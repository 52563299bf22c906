# SPDX-License-Identifier: Apache-2.0
"""One network namespace and what is done inside it."""

import contextlib
import ctypes
import os
import socket

from .shell import run

_CLONE_NEWNET = 0x40000000

# Addresses are usable at once, and nothing but what we configure decides the routes.
QUIET_SYSCTLS = {
    "net.ipv6.conf.all.accept_dad": 0,
    "net.ipv6.conf.default.accept_dad": 0,
    "net.ipv6.conf.all.accept_ra": 0,
    "net.ipv6.conf.default.accept_ra": 0,
    "net.ipv6.conf.default.router_solicitations": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
    "net.ipv4.conf.all.accept_redirects": 0,
    "net.ipv4.conf.default.accept_redirects": 0,
    "net.ipv6.conf.all.accept_redirects": 0,
    "net.ipv6.conf.default.accept_redirects": 0,
    # What one test learnt about a peer must not change the next one's connection.
    "net.ipv4.tcp_no_metrics_save": 1,
}


class Namespace:
    """Created by create(), gone after delete(); name is what `ip netns` knows it by."""

    def __init__(self, name):
        self.name = name

    def create(self):
        run(["ip", "netns", "add", self.name])
        self.sysctl(QUIET_SYSCTLS)
        self.ip("link set lo up")
        return self

    def delete(self):
        run(["ip", "netns", "delete", self.name], check=False)

    def enter(self, argv):
        """The argv that runs argv inside."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, argv, **options):
        return run(self.enter(argv), **options)

    def ip(self, *commands):
        """Runs commands of `ip`, each one string, in one go."""
        run(["ip", "-n", self.name, "-batch", "-"], stdin="\n".join(commands) + "\n")

    def sysctl(self, settings):
        self.run(["sysctl", "-q", "-w", *(f"{key}={value}" for key, value in settings.items())])

    def socket(self, family, kind, protocol=0):
        """A socket of this process that lives in the namespace."""
        with self._entered():
            return socket.socket(family, kind, protocol)

    @contextlib.contextmanager
    def _entered(self):
        """The calling thread is inside; sockets keep the namespace they were made in."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _set_namespace(inside)
            yield
        finally:
            _set_namespace(before)
            os.close(inside)
            os.close(before)


def _set_namespace(descriptor):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
