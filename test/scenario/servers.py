# SPDX-License-Identifier: Apache-2.0
"""Servers beside nginx that a test starts on backends while its context lasts."""

import contextlib

from topology import Program

DNS_NAME = "who.test"


@contextlib.contextmanager
def dns_servers(backends, port):
    """{backend's name: its dnsmasq}; each answers for DNS_NAME with a text, its backend's name."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for backend in backends:
            servers[backend.name] = _started(stack, backend, "dnsmasq", [
                "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root",
                f"--pid-file={backend.directory}/dnsmasq.pid", "--no-resolv", "--no-hosts",
                f"--port={port}", "--log-queries", "--log-facility=-",
                f"--txt-record={DNS_NAME},{backend.name}"])
        for name, backend in zip(servers, backends):
            _wait_for_listener(servers[name], backend, "-u", port)
        yield servers


@contextlib.contextmanager
def iperf_server(backend, address, port):
    """Bound to address, since iperf3 answers UDP from whichever the route would take."""
    with contextlib.ExitStack() as stack:
        server = _started(stack, backend, "iperf3", ["iperf3", "-s", "-B", address, "-p", port])
        _wait_for_listener(server, backend, "-t", port)
        yield server


def _started(stack, backend, name, argv):
    log = backend.directory / f"{name}.out"
    log.unlink(missing_ok=True)
    program = Program(f"{name} on {backend.name}", backend.namespace.enter(argv), log)
    program.start()
    stack.callback(program.kill)
    return program


def _wait_for_listener(program, backend, kind, port):
    program.wait_until(lambda: backend.namespace.run(
        ["ss", "-H", "-l", "-n", kind, f"sport = {port}"]).stdout, f"it listens on {port}")
