# SPDX-License-Identifier: Apache-2.0
"""Path-MTU discovery through every mode: 10 MB with DF over a link that only ICMP tells of."""

import hashlib

import pytest
import traffic
from modes import DIRECT, DNAT, EVERY_MODE, FULL_NAT, TUNNEL, each_of
from topology import network
from topology.shell import wait_until

LIMIT_S = 20


@pytest.fixture(autouse=True)
def nothing_learnt(topology):
    """What one test's hosts learnt of a path the next ones do not know."""
    yield
    network.forget_path_mtus(topology.client, topology.remote,
                             *(backend.namespace for backend in topology.every_backend))


def upload(topology, host, mode, backend, content):
    """From host to the backend, where it must arrive whole."""
    name = f"upload-{mode}"
    source, stored = topology.directory / name, backend.directory / "upload" / name
    source.write_bytes(content)
    stored.unlink(missing_ok=True)
    host.run(["curl", "-sS", "--globoff", "--fail", "--max-time", LIMIT_S, "-H", "Expect:",
              "-T", source, traffic.url(mode.vip, f"/upload/{name}")])
    wait_until(stored.exists, "the upload is stored")
    assert stored.read_bytes() == content
    stored.unlink()


# Where the tunnel over the narrow link carries less than IPv6's least MTU, outer packets are cut.
@each_of(*FULL_NAT, *DNAT, *TUNNEL)
def test_narrow_link_behind(topology, mode, content):
    """Direct routing has no link behind: its backends are the box's neighbours."""
    mode.apply(topology, [topology.far])
    upload(topology, topology.client, mode, topology.far, content)
    assert network.path_mtu(topology.client, mode.vip) == mode.mtu_within(network.NARROW_MTU)


@EVERY_MODE
def test_narrow_link_in_front(topology, mode, content):
    """The router's error for the answer comes to the VIP, though answers may pass the box by."""
    (topology.files / "download").write_bytes(content)
    backend = topology.backends[0]
    mode.apply(topology, [backend])
    result = topology.remote.run(
        ["bash", "-c", f"set -o pipefail; curl -sS -g --fail --max-time {LIMIT_S} "
                       f"'{traffic.url(mode.vip, '/files/download')}' | sha256sum"])
    assert result.stdout.split()[0] == hashlib.sha256(content).hexdigest()
    if mode.shows_client:
        assert network.path_mtu(backend.namespace, mode.remote_address) == network.NARROW_MTU


@each_of(*TUNNEL)
def test_the_tunnel_is_narrower_than_its_links(topology, mode, content):
    mode.apply(topology, topology.backends[:1])
    upload(topology, topology.client, mode, topology.backends[0], content)
    assert network.path_mtu(topology.client, mode.vip) == mode.mtu_within(network.MTU)


@each_of(*DNAT, *DIRECT, *TUNNEL)
def test_remote_client_uploads(topology, mode, content):
    """Its own link is the narrowest: nobody has to tell it anything, and nothing is lost."""
    mode.apply(topology, topology.backends[:1])
    upload(topology, topology.remote, mode, topology.backends[0], content)
