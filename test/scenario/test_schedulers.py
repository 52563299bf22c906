# SPDX-License-Identifier: Apache-2.0
"""Which backend a session goes to: by turns, by client, by priority, again; and none at a limit."""

import collections

import pytest

import traffic
from topology import network, services
from topology.shell import wait_until

VIPS = (network.VIP_IPV4, network.VIP_IPV6)
# Names of their own: nobody else's sessions count here.
SERVICE = {network.VIP_IPV4: "scheduled", network.VIP_IPV6: "scheduled6"}
# Addresses that nothing is sent from.
STRANGER = {network.VIP_IPV4: "10.0.1.250", network.VIP_IPV6: "fd00:1::250"}
# Sessions that are over are forgotten soon.
SHORT_TIMEOUTS = "{tcp_closing: 1s, tcp_time_wait: 1s, tcp_closed: 1s}"
# Opens connections until one has no answer in time, and holds them until told to end.
HOLD_CONNECTIONS = """
import socket, sys
held, refused = [], 0
for _ in range(int(sys.argv[2])):
    try:
        held.append(socket.create_connection((sys.argv[1], 80), timeout=0.7))
    except TimeoutError:
        refused += 1
print(len(held), refused)
"""


def apply(topology, every_backend=None, first_backend=None, **settings):
    """A service on each VIP; every_backend and first_backend: settings of backends."""
    def of(addresses):
        chosen = {address: every_backend for address in addresses if every_backend}
        if first_backend:
            chosen[addresses[0]] = first_backend
        return chosen

    settings["client_address"] = "{carrier: none}"
    families = [[b.ipv4 for b in topology.backends], [b.ipv6 for b in topology.backends]]
    topology.box.apply(services.state(*(
        services.service(SERVICE[vip], vip, addresses, backend_settings=of(addresses), **settings)
        for vip, addresses in zip(VIPS, families))))
    traffic.wait_for_answers(topology, *VIPS)


def answers(topology, vip, count, source=None):
    """How many of so many requests each backend answered: a Counter by its name."""
    command = ["curl", "-sS", "--globoff", "--fail", "--max-time", "5"]
    if source:
        command += ["--interface", source]
    return collections.Counter(
        topology.client.run(command + [traffic.url(vip)]).stdout.split()[0] for _ in range(count))


@pytest.fixture
def client_addresses(topology):
    """Further addresses of the client, by VIP of their family."""
    added = {network.VIP_IPV4: [f"10.0.1.{200 + i}" for i in range(8)],
             network.VIP_IPV6: [f"fd00:1::{200 + i}" for i in range(8)]}
    lengths = {network.VIP_IPV4: 24, network.VIP_IPV6: "64 nodad"}
    for vip, addresses in added.items():
        topology.client.ip(*(f"address add {address}/{lengths[vip]} dev client0"
                             for address in addresses))
    yield added
    for vip, addresses in added.items():
        topology.client.ip(*(f"address del {address}/{str(lengths[vip]).split()[0]} dev client0"
                             for address in addresses))


@pytest.mark.parametrize("vip", VIPS)
def test_source_hash_sends_a_client_to_one_backend(topology, client_addresses, vip):
    apply(topology, scheduler="source_hash")
    used = set()
    for source in client_addresses[vip]:
        names = answers(topology, vip, 4, source)
        assert len(names) == 1, f"{source} met {names}"
        used |= set(names)
    assert len(used) > 1, "all clients met the same backend"


@pytest.mark.parametrize("scheduler", ["round_robin", "least_connections"])
@pytest.mark.parametrize("vip", VIPS)
def test_turns_without_weights(topology, vip, scheduler):
    apply(topology, scheduler=scheduler, first_backend="weight: 50", timeouts=SHORT_TIMEOUTS)
    wait_until(lambda: sessions_of(topology, vip) == 0, "earlier sessions are over")
    count = answers(topology, vip, 3 * len(topology.backends))
    assert len(count) == len(topology.backends)
    if scheduler == "round_robin":
        assert set(count.values()) == {3}


def available_backends(topology):
    """Addresses of those that take new sessions, of both services."""
    return {address for (name, address), status in topology.box.backend_statuses().items()
            if status["counters"]["available"]}


def sessions_of(topology, vip):
    return sum(int(status["counters"]["sessions_active"])
               for (name, _), status in topology.box.backend_statuses().items()
               if name == SERVICE[vip])


def test_the_next_priority_takes_over_and_gives_back(topology):
    first, *others = topology.backends
    apply(topology, every_backend="priority: 1", first_backend="priority: 0",
          health_check=services.TCP_CHECK)
    wait_until(topology.box.all_backends_up, "every backend is up")
    for vip in VIPS:
        assert set(answers(topology, vip, 6)) == {first.name}
    assert available_backends(topology) == {first.ipv4, first.ipv6}
    first.nginx.stop()
    wait_until(lambda: available_backends(topology) == {address for backend in others
                                                        for address in (backend.ipv4, backend.ipv6)},
               "the second priority takes over")
    for vip in VIPS:
        assert set(answers(topology, vip, 6)) == {backend.name for backend in others}
    first.start()
    wait_until(lambda: available_backends(topology) == {first.ipv4, first.ipv6},
               "the first priority is back")
    for vip in VIPS:
        assert set(answers(topology, vip, 6)) == {first.name}


def dropped_at_the_limit(topology, vip):
    """Packets by the workers' verdict, and by the service's own counter."""
    by_verdict = sum(verdicts["session_limit"]
                     for _, verdicts in traffic.verdict_samples(topology.box))
    metric = "steelyard_service_session_limit_packets_total"
    by_service = {labels["service"]: value for labels, value
                  in traffic.metric_samples(topology.box.metrics(), metric)}
    return by_verdict, by_service.get(SERVICE[vip], 0)


@pytest.mark.parametrize("where", ["service", "backends"])
@pytest.mark.parametrize("vip", VIPS)
def test_at_the_limit_new_sessions_are_refused_and_counted(topology, vip, where):
    most = len(topology.backends)
    # By source hash all connections want the same backend.
    limits = {"service": {"max_sessions": most},
              "backends": {"every_backend": "max_sessions: 1", "scheduler": "source_hash"}}[where]
    apply(topology, timeouts=SHORT_TIMEOUTS, **limits)
    wait_until(lambda: sessions_of(topology, vip) == 0, "earlier sessions are over")
    before = dropped_at_the_limit(topology, vip)
    held, refused = topology.client.run(["/usr/bin/python3", "-c", HOLD_CONNECTIONS, vip,
                                         most + 2]).stdout.split()
    assert (held, refused) == (str(most), "2")

    def counted():
        by_verdict, by_service = (now - then for now, then
                                  in zip(dropped_at_the_limit(topology, vip), before))
        return by_verdict >= 2 and by_service == by_verdict

    wait_until(counted, "both counters have the refused packets")
    wait_until(lambda: sessions_of(topology, vip) == 0, "the connections are forgotten")
    traffic.fetch(topology, vip)


def next_backend(topology, vip, source):
    """The name of the backend that a client's next connection would go to. Asking changes nothing:
    neither whose turn it is, nor how long the client is remembered."""
    ends = (f"[{source}]:1", f"[{vip}]:80") if ":" in vip else (f"{source}:1", f"{vip}:80")
    address = topology.box.ctl_json("lookup", "tcp", *ends)["backend"]["address"]
    return next(b.name for b in topology.backends if address in (b.ipv4, b.ipv6))


def remembered_clients(topology):
    return sum(value for _, value in traffic.metric_samples(topology.box.metrics(),
                                                            "steelyard_worker_templates_active"))


@pytest.mark.parametrize("vip", VIPS)
def test_a_client_stays_with_its_backend(topology, client_addresses, vip):
    """Round robin spreads clients; a client moves when its backend drains and when it was away."""
    settings = {"scheduler": "round_robin", "persistence": "{timeout: 3s}",
                "timeouts": SHORT_TIMEOUTS}
    apply(topology, **settings)
    met = {}
    for source in client_addresses[vip]:
        names = answers(topology, vip, 3, source)
        assert len(names) == 1, f"{source} met {names}"
        met[source] = next(iter(names))
    assert len(set(met.values())) == len(topology.backends)

    first = topology.backends[0]
    apply(topology, first_backend="admin_state: draining", **settings)
    for source in [source for source, name in met.items() if name == first.name]:
        names = answers(topology, vip, 3, source)
        assert len(names) == 1 and first.name not in names, f"{source} met {names}"

    apply(topology, **settings)

    def turn():
        return next_backend(topology, vip, STRANGER[vip])

    source = next(source for source in client_addresses[vip]
                  if set(answers(topology, vip, 1, source)) != {turn()})
    wait_until(lambda: next_backend(topology, vip, source) == turn(), "the client is forgotten")
    scheduled = turn()
    assert set(answers(topology, vip, 1, source)) == {scheduled}
    wait_until(lambda: remembered_clients(topology) > 0, "it is in the metrics, fed every second")
    wait_until(lambda: remembered_clients(topology) == 0, "all clients are forgotten")
