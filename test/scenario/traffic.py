# SPDX-License-Identifier: Apache-2.0
"""What the scenarios send through the box, and what they ask it afterwards."""

import hashlib
import itertools
import json
import os
import pathlib
import re

from servers import DNS_NAME
from topology import network, services
from topology.shell import TimedOut, wait_until

MIB = 1 << 20
LARGE_FILE_BYTES = 1 << 30
WRK_LIMIT_S = 60

_request_numbers = itertools.count(1)


def url(address, path="/", port=80):
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{path}"


def fetch(topology, address, path="/", port=80, check=True, limit_s=5):
    """The client's curl; its CompletedProcess."""
    return topology.client.run(["curl", "-sS", "--globoff", "--fail", "--max-time", limit_s,
                                url(address, path, port)], check=check, timeout_s=limit_s + 10)


def answering_backend(topology, address, port=80):
    """One request; the Backend that answered."""
    name = fetch(topology, address, port=port).stdout.split()[0]
    return next(backend for backend in topology.every_backend if backend.name == name)


def logged_client_address(topology, address, port=80):
    """One request; the address that the answering backend's nginx logged for it."""
    return logged_request(topology, address, port)[1]


def logged_request(topology, address, port=80):
    """One request; the Backend that answered, and the address that its nginx logged for it."""
    request = f"request-{os.getpid()}-{next(_request_numbers)}"
    name = fetch(topology, address, f"/?{request}", port).stdout.split()[0]
    backend = next(backend for backend in topology.every_backend if backend.name == name)
    return backend, backend.logged_address(request)


def dns_answer(topology, address, port=53):
    """One question of the client's dig; the text that the answering server has for DNS_NAME.

    Asked again where there is no answer: a first packet may be lost while a neighbour resolves.
    """
    result = topology.client.run(["dig", f"@{address}", "-p", port, "+short", "+tries=3",
                                  "+time=1", "TXT", DNS_NAME])
    answers = [line for line in result.stdout.splitlines() if not line.startswith(";")]
    return "".join(answers).strip('"')


def wrk(topology, address, requests, connections=16, close=False, host=None,
        limit_s=WRK_LIMIT_S, timeout_s=5):
    """From the client, or another host: exactly counted requests; wrk's count of responses and errors as a dictionary."""
    script = pathlib.Path(__file__).with_name("count_requests.lua")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{limit_s}s", "--timeout", f"{timeout_s}s",
               "-s", str(script)]
    if close:
        command += ["-H", "Connection: close"]
    command += [url(address), "--", str(requests)]
    output = (host or topology.client).run(command, timeout_s=limit_s + 10).stdout
    return json.loads(next(line for line in output.splitlines() if line.startswith("{")))


def assert_no_failed_request(count, requests):
    errors = {kind: number for kind, number in count.items() if kind != "responses" and number}
    assert not errors and count["responses"] >= requests, count


def write_large_file(path):
    """LARGE_FILE_BYTES of noise whose blocks all differ; returns the SHA-256."""
    noise = bytearray(os.urandom(16 * MIB))
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for number in range(LARGE_FILE_BYTES // len(noise)):
            noise[:8] = number.to_bytes(8, "big")
            file.write(noise)
            digest.update(noise)
    return digest.hexdigest()


def downloaded_sha256(topology, address, path, limit_s=90):
    source = url(address, path)
    script = f"set -o pipefail; curl -sS -g --fail --max-time {limit_s} '{source}' | sha256sum"
    return topology.client.run(["bash", "-c", script], timeout_s=limit_s + 10).stdout.split()[0]


def web_state(topology, carrier="toa", **settings):
    """Services web and web6 on port 80 of both VIPs, with all near backends."""
    settings["client_address"] = f"{{carrier: {carrier}}}"
    return services.state(
        services.service("web", network.VIP_IPV4, [b.ipv4 for b in topology.backends],
                         **settings),
        services.service("web6", network.VIP_IPV6, [b.ipv6 for b in topology.backends],
                         **settings))


def assert_sessions_are_at_home(box):
    """No worker has forwarded a packet of a session of another's."""
    for worker in box.ctl_json("stats")["counters"]["workers"]:
        assert int(worker["foreign_packets"]) == 0, worker


def assert_verdicts_add_up(box):
    """received + reassembled + taken over - handed off = forwarded + punted + consumed + the drops,
    once the workers have finished their burst."""
    seen = []

    def add_up():
        seen[:] = verdict_samples(box)
        return seen and all(received == sum(verdicts.values()) for received, verdicts in seen)

    try:
        wait_until(add_up, "", timeout_s=3)
    except TimedOut:
        raise AssertionError(f"received packets and verdicts differ: {seen}") from None


def verdict_samples(box):
    """For each worker the packets that got a verdict, received ones, those put together from
    fragments and those of other workers' ports, and {verdict: packets}, from `steelyardctl stats`."""
    return [(int(worker["received_packets"]) + int(worker["reassembled_packets"])
             + int(worker["handoff_received_packets"]) + int(worker["handoff_fragments"])
             - int(worker["handoff_sent_packets"]),
             {verdict["name"]: int(verdict["packets"]) for verdict in worker["verdicts"]})
            for worker in box.ctl_json("stats")["counters"]["workers"]]


def metric_samples(text, name):
    """Of a Prometheus text: [(labels, value)] of the metric with this name."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
            for labels, value in found]


def wait_for_answers(topology, *addresses, timeout_s=10):
    """Until every address answers a request."""
    for address in addresses:
        wait_until(lambda: fetch(topology, address, check=False, limit_s=1).returncode == 0,
                   f"{address} answers", timeout_s)
