# SPDX-License-Identifier: Apache-2.0
"""What /metrics and steelyardctl say about traffic. (The verdicts' sum is checked after every test.)"""

import traffic
from topology import network

REQUESTS = 500


def test_metrics_equation(topology):
    """What came is what the verdicts and the handoffs add up to, from what Prometheus would
    scrape."""
    topology.box.apply(traffic.web_state(topology))
    traffic.wrk(topology, network.VIP_IPV4, REQUESTS)

    def add_up():
        text = topology.box.metrics()

        def total(*names):
            return sum(value for name in names for _, value in
                       traffic.metric_samples(text, f"steelyard_worker_{name}_total"))

        received = total("received_packets", "reassembled_packets", "handoff_received_packets",
                         "handoff_fragments")
        verdicts = total("packets", "handoff_sent_packets")
        return received > REQUESTS and received == verdicts

    traffic.wait_until(add_up, topology.box.metrics, timeout_s=3)


def test_metrics_follow_the_conventions(topology):
    """Prefix, help and type for every family; counters, and they alone, end in _total."""
    topology.box.apply(traffic.web_state(topology))
    families = {}
    helped = set()
    for line in topology.box.metrics().splitlines():
        words = line.split()
        if line.startswith("# TYPE"):
            families[words[2]] = words[3]
        elif line.startswith("# HELP") and len(words) > 3:
            helped.add(words[2])
    ours = {name: kind for name, kind in families.items() if name.startswith("steelyard_")}
    assert len(ours) > 10
    assert set(ours) <= helped
    for name, kind in ours.items():
        assert name.endswith("_total") == (kind == "counter"), (name, kind)


def test_sessions_are_listed_with_filters(topology):
    topology.box.apply(traffic.web_state(topology))
    traffic.fetch(topology, network.VIP_IPV4)
    traffic.fetch(topology, network.VIP_IPV6)

    def sessions(*filters):
        return topology.box.ctl_json("session", "list", *filters).get("sessions", [])

    everything = sessions()
    assert {s["service"] for s in everything} >= {"web", "web6"}
    assert {s["service"] for s in sessions("--service", "web6")} == {"web6"}
    assert {s["client"]["address"] for s in sessions("--client", network.CLIENT_IPV4)} == {
        network.CLIENT_IPV4}
    assert {s["backend"]["address"] for s in sessions("--backend", topology.backends[0].ipv6)} <= {
        topology.backends[0].ipv6}
    assert len(sessions("--limit", "1")) == 1
    assert {s["protocol"] for s in sessions("--protocol", "tcp")} == {"PROTOCOL_TCP"}
    # Those of an earlier test may still live.
    assert {s["protocol"] for s in sessions("--protocol", "udp")} <= {"PROTOCOL_UDP"}


def test_backend_counters_count_both_directions(topology):
    topology.box.apply(traffic.web_state(topology))
    before = backend_counters(topology)
    traffic.fetch(topology, network.VIP_IPV4)
    traffic.wait_until(lambda: backend_counters(topology)[0] > before[0]
                       and backend_counters(topology)[1] > before[1], "both counters grew")


def backend_counters(topology):
    """Packets to the backends and to the clients of service web."""
    services = topology.box.ctl_json("service", "show", "web")["services"]
    counters = [backend.get("counters", {}) for backend in services[0]["backends"]]
    return tuple(sum(int(one.get(way, {}).get("packets", 0)) for one in counters)
                 for way in ("to_backend", "to_client"))


def test_lookup_of_a_packet_that_would_come(topology):
    topology.box.apply(traffic.web_state(topology))
    answer = topology.box.ctl_json("lookup", "tcp", f"{network.CLIENT_IPV4}:4242",
                                   f"{network.VIP_IPV4}:80")
    assert answer["service"] == "web"
    assert answer["backend"]["address"] in {backend.ipv4 for backend in topology.backends}
    assert "session" not in answer
    nothing = topology.box.ctl_json("lookup", "tcp", f"[{network.CLIENT_IPV6}]:4242",
                                    f"[{network.VIP_IPV6}]:81")
    assert not nothing.get("service")
