# SPDX-License-Identifier: Apache-2.0
"""What holds for every forwarding mode of services; full NAT by itself has its own files."""

import json
import re

import pytest
import traffic
from modes import A_FEW_MODES, EVERY_MODE, TRANSPARENT_MODES
from servers import dns_servers, iperf_server
from topology import Program, network, services
from topology.shell import run, wait_until

REQUESTS = 1000
DNS_PORT = 53
IPERF_PORT = 5201
IPERF_RATE = "20M"
IPERF_LOST_PERCENT = 2
LOCAL_ADDRESSES = {4: network.LOCAL_IPV4, 6: network.LOCAL_IPV6}
ALL_BOXES = pytest.mark.boxes("af_packet", "af_xdp", "one_arm")
BOTH_ARMS = pytest.mark.boxes("af_packet", "one_arm")


@ALL_BOXES
@TRANSPARENT_MODES
def test_every_backend_answers_and_logs_the_client(topology, mode):
    """Without any help on the backends."""
    mode.apply(topology, scheduler="round_robin")
    asked = [traffic.logged_request(topology, mode.vip) for _ in range(2 * len(topology.backends))]
    assert sorted(backend.name for backend, _ in asked) == sorted(
        2 * [backend.name for backend in topology.backends])
    assert {address for _, address in asked} == {mode.client_address}


@BOTH_ARMS
@TRANSPARENT_MODES
def test_many_connections(topology, mode):
    mode.apply(topology)
    count = traffic.wrk(topology, mode.vip, REQUESTS, close=True)
    traffic.assert_no_failed_request(count, REQUESTS)


@BOTH_ARMS
@EVERY_MODE
def test_dns(topology, mode):
    """Each question is a session; the answer comes from the address that was asked."""
    mode.apply(topology, port=DNS_PORT, protocol="udp", scheduler="round_robin")
    with dns_servers(topology.backends, DNS_PORT) as servers:
        answers = {traffic.dns_answer(topology, mode.vip) for _ in range(2 * len(servers))}
        assert answers == set(servers)
        askers = {asker for server in servers.values()
                  for asker in re.findall(r"query\S+ \S+ from (\S+)", server.log)}
        assert askers and (askers == {mode.client_address}) == mode.shows_client


@TRANSPARENT_MODES
def test_iperf3(topology, mode):
    """UDP to the backend, and back where that is through the box."""
    backend = topology.backends[0]
    topology.prepare_for(mode.name)
    topology.box.apply(services.state(
        mode.service("control", [backend], port=IPERF_PORT),
        mode.service("data", [backend], port=IPERF_PORT, protocol="udp")))
    own_address = mode.vip if mode.answers_pass_by else mode.address_of(backend)
    # Room for the outer header: iperf3 sends with DF.
    command = ["iperf3", "-c", mode.vip, "-p", IPERF_PORT, "-u", "-l", 1200, "-b", IPERF_RATE,
               "-t", 1, "--json"]
    with iperf_server(backend, own_address, IPERF_PORT):
        for direction in ([],) if mode.answers_pass_by else ([], ["-R"]):
            end = iperf_report(topology, command + direction)["end"]["sum"]
            assert end["packets"] > 1000, end
            assert end["lost_percent"] <= IPERF_LOST_PERCENT, end


def iperf_report(topology, command):
    """A server that has just ended one test may still turn away the next."""

    def run_once():
        report = json.loads(run(topology.client.enter(command), timeout_s=30).stdout)
        error = report.get("error", "")
        assert not error or "busy" in error, error
        return None if error else report

    return wait_until(run_once, "the server takes the test")


@A_FEW_MODES
def test_backend_stops_under_load(topology, mode):
    """It is out, and new connections go to the others; back when it is."""
    box, sick = topology.box, topology.backends[0]
    mode.apply(topology, health_check=services.HTTP_CHECK)
    wait_until(box.all_backends_up, "every backend is up")
    load = Program("wrk", topology.client.enter(
        ["wrk", "-t1", "-c8", "-d20s", traffic.url(mode.vip)]), topology.directory / "wrk.out")
    load.start()
    try:
        wait_until(lambda: box.active_sessions() > 0, "wrk is at work")
        sick.nginx.stop()
        wait_until(lambda: not box.is_available("web", mode.address_of(sick)), "it is out")
        count = traffic.wrk(topology, mode.vip, REQUESTS, close=True)
        traffic.assert_no_failed_request(count, REQUESTS)
        sick.start()
        wait_until(lambda: traffic.answering_backend(topology, mode.vip) is sick, "it is back")
    finally:
        load.kill()


@A_FEW_MODES
def test_control_plane_killed(topology, mode):
    """Not a packet notices, and the restarted one finds nothing to repair."""
    box = topology.box
    mode.apply(topology)
    assert {traffic.answering_backend(topology, mode.vip).name for _ in topology.backends} == {
        backend.name for backend in topology.backends}
    generation = box.ctl_json("version")["generation"]
    box.controlplane.kill()
    count = traffic.wrk(topology, mode.vip, REQUESTS, close=True)
    traffic.assert_no_failed_request(count, REQUESTS)
    box.start_controlplane()
    box.wait_synced()
    assert box.ctl_json("version")["generation"] == generation
    traffic.fetch(topology, mode.vip)


@EVERY_MODE
def test_session_list_and_lookup(topology, mode):
    mode.apply(topology)
    name, port = topology.client.run(
        ["curl", "-sS", "--globoff", "--fail", "--max-time", "5", "-w", "%{local_port}",
         traffic.url(mode.vip)]).stdout.split()[::2]
    backend = next(b for b in topology.backends if b.name == name)
    client = {"address": mode.client_address, "port": int(port)}
    session = next(s for s in topology.box.ctl_json("session", "list", "--client",
                                                    mode.client_address)["sessions"]
                   if s["client"] == client)
    assert session["service"] == "web"
    assert session["backend"]["address"] == mode.address_of(backend)
    if not mode.shows_client:
        assert session["local"]["address"] in LOCAL_ADDRESSES[mode.backend_family]
    host, vip = (f"[{address}]" if mode.family == 6 else address
                 for address in (mode.client_address, mode.vip))
    answer = topology.box.ctl_json("lookup", "tcp", f"{host}:{port}", f"{vip}:80")
    assert answer["service"] == "web"
    assert answer["backend"]["address"] == mode.address_of(backend)
    assert answer["session"]["client"] == client
