# SPDX-License-Identifier: Apache-2.0
"""UDP both ways: iperf3, whose control connection is TCP to the same port."""

import json

import pytest
from topology import Program, network, services
from topology.shell import run

PORT = 5201
RATE = "20M"
SECONDS = 2
LOST_PERCENT = 2


@pytest.fixture(name="iperf_server")
def fixture_iperf_server(topology):
    backend = topology.backends[0]
    server = Program("iperf3 -s", backend.namespace.enter(["iperf3", "-s", "-p", str(PORT)]),
                     backend.directory / "iperf3.out")
    server.start()
    server.wait_until(lambda: backend.namespace.run(["ss", "-Hltn", f"sport = {PORT}"]).stdout,
                      "iperf3 listens")
    yield backend
    server.kill()


@pytest.mark.boxes("af_packet", "af_xdp", "one_arm")
@pytest.mark.parametrize("direction", ("to backend", "to client"))
@pytest.mark.parametrize("family", (4, 6))
def test_iperf3(topology, iperf_server, family, direction):
    vip, backend = {4: (network.VIP_IPV4, iperf_server.ipv4),
                    6: (network.VIP_IPV6, iperf_server.ipv6)}[family]
    topology.box.apply(services.state(
        services.service("control", vip, [backend], port=PORT),
        services.service("data", vip, [backend], port=PORT, protocol="udp")))
    command = ["iperf3", "-c", vip, "-p", PORT, "-u", "-b", RATE, "-t", SECONDS, "--json"]
    if direction == "to client":
        command.append("-R")
    result = run(topology.client.enter(command), timeout_s=30)
    end = json.loads(result.stdout)["end"]["sum"]
    assert end["packets"] > 1000, end
    assert end["lost_percent"] <= LOST_PERCENT, end
