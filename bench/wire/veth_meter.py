# SPDX-License-Identifier: Apache-2.0
"""What a client and a backend see of a program between them (veth_bed.py). Every measure returns its
figures by their names and units: {(name, unit): figure}."""

import json
import re
import socket
import statistics
import time

from round_trips import round_trips
from scenario.servers import iperf_server
from topology.process import Program
from topology.shell import CommandFailed, run
from veth_bed import ECHO_PORT, IPERF3_PORT, WEB_PORT

DIRECTIONS = {"to backend": [], "to client": ["--reverse"]}
WRK_CONNECTIONS = 64
PERCENTILES = (50, 90, 99, 99.9)
LOAD_BYTES = 1400  # of a datagram's content
LOAD_PACING_US = 100  # iperf3's own would make a burst of each millisecond
LOAD_LEAD_S = 1  # it flows so much longer than round trips are measured, before and after


class Meter:
    """seconds: how long each measure takes, in whole ones."""

    def __init__(self, bed, seconds):
        self._bed = bed
        self._seconds = seconds

    def throughput(self, program, streams, direction):
        """Of TCP, and how many of its segments were sent again."""
        with self._iperf3_server(program):
            words = [*DIRECTIONS[direction], "--parallel", streams]
            result = run(self._iperf3_client(program, self._seconds, *words), check=False,
                         timeout_s=self._seconds + 30)
        told = _iperf3_output(program, result.stdout)
        sent, received = (told["end"][key] for key in ("sum_sent", "sum_received"))
        segments = sent["bytes"] / told["start"]["tcp_mss_default"]
        name = f"TCP, {streams} stream{'s' if streams > 1 else ''} {direction}"
        return {(name, "Mbit/s"): received["bits_per_second"] / 1e6,
                (f"{name}, resent", "%"): 100 * sent["retransmits"] / segments}

    def requests(self, program, own_connections):
        """Of HTTP, each on a connection of its own or many on one."""
        headers = ["-H", "Connection: close"] if own_connections else []
        output = self._bed.client.run(
            ["wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{self._seconds}s", *headers,
             f"http://{program.target}:{WEB_PORT}/"], timeout_s=self._seconds + 30).stdout
        rate = re.search(r"Requests/sec: +([\d.]+)", output)
        if not rate or "errors" in output or "Non-2xx" in output:
            raise CommandFailed(f"wrk through {program.name}:\n{output}")
        name = "HTTP, a connection each" if own_connections else "HTTP, connections kept"
        return {(name, "1/s"): float(rate[1])}

    def round_trips(self, program, what="round trip"):
        with self._bed.client.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, \
             self._bed.backend.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((program.server_address, ECHO_PORT))
            taken_ns, sent = round_trips(client, server, (program.target, ECHO_PORT), self._seconds)
        if len(taken_ns) < 2:
            raise CommandFailed(f"{len(taken_ns)} of {sent} round trips through {program.name}")
        permilles = statistics.quantiles(taken_ns, n=1000, method="inclusive")
        figures = {(f"{what}, {percent}%", "µs"): permilles[round(percent * 10) - 1] / 1e3
                   for percent in PERCENTILES}
        return figures | {(f"{what}, lost", "%"): 100 * (1 - len(taken_ns) / sent)}

    def round_trips_under_load(self, program, load_mbps):
        """Beside a stream of UDP to the backend."""
        log = self._bed.directory / "load.json"
        log.unlink(missing_ok=True)
        seconds = self._seconds + 2 * LOAD_LEAD_S
        load = Program("iperf3", self._iperf3_client(
            program, seconds, "--udp", "--length", LOAD_BYTES, "--bitrate", f"{load_mbps:.0f}M",
            "--pacing-timer", LOAD_PACING_US), log)
        with self._iperf3_server(program):
            load.start()
            time.sleep(LOAD_LEAD_S)
            figures = self.round_trips(program, "under load")
            load.wait(seconds + 30)
        end = _iperf3_output(program, load.log)["end"]["sum"]
        received = end["bits_per_second"] * (1 - end["lost_percent"] / 100) / 1e6
        return {("load that arrives", "Mbit/s"): received} | figures

    def _iperf3_server(self, program):
        return iperf_server(self._bed.backend, program.server_address, IPERF3_PORT)

    def _iperf3_client(self, program, seconds, *words):
        return self._bed.client.enter(["iperf3", "--json", "--client", program.target, "--port",
                                       IPERF3_PORT, "--time", seconds, *words])


def _iperf3_output(program, output):
    try:
        told = json.loads(output)
    except json.JSONDecodeError:
        told = {"error": output}
    if "error" in told:
        raise CommandFailed(f"iperf3 through {program.name}: {told['error']}")
    return told
