# SPDX-License-Identifier: Apache-2.0
"""Direct routing: what only it does. (The rest: test_modes.py, test_path_mtu.py.)"""

import traffic
from capture import Capture, ip_layer
from modes import DIRECT, each_of
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from topology import services


@each_of(*DIRECT)
def test_only_the_destinations_mac_changes(topology, mode):
    """The packets of a connection arrive as the client sent them, and none of its answers passes
    the box."""
    backend = topology.backends[0]
    mode.apply(topology, [backend])
    traffic.fetch(topology, mode.vip)
    with Capture(backend.namespace, "eth0", "tcp dst port 80") as at_backend, \
         Capture(topology.box.namespace, "port1", "tcp src port 80") as at_box:
        with Capture(topology.client, "client0", "tcp port 80") as at_client:
            traffic.fetch(topology, mode.vip)
            at_client.wait_for_end_of_connection()
        sent = [bytes(ip_layer(p)) for p in at_client.packets() if p[TCP].dport == 80]
        at_backend.wait_for(lambda packets: len(packets) >= len(sent))
    arrived = at_backend.packets()
    # The client's capture may end before the last acknowledgement.
    assert [bytes(ip_layer(p)) for p in arrived][:len(sent)] == sent
    assert {p[Ether].dst for p in arrived} == {mac(backend.namespace, "eth0")}
    assert {p[Ether].src for p in arrived} == {mac(topology.box.namespace, "steel1")}
    assert not at_box.packets()


def mac(namespace, interface):
    return namespace.run(["cat", f"/sys/class/net/{interface}/address"]).stdout.strip()


@each_of(*DIRECT)
def test_a_backend_behind_a_router_is_refused(topology, mode):
    """With its path and the reason; what was in force stays."""
    box = topology.box
    mode.apply(topology)
    generation = box.ctl_json("version")["generation"]
    path = box.directory / "refused.yaml"
    path.write_text(services.state(mode.service("web", [topology.backends[0], topology.far])))
    result = box.ctl("apply", "-f", path, check=False)
    assert result.returncode != 0
    assert "services[0].backends[1].address" in result.stderr, result.stderr
    assert box.ctl_json("version")["generation"] == generation
    traffic.fetch(topology, mode.vip)
