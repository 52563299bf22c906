# SPDX-License-Identifier: Apache-2.0
"""steelyard-toa on a backend host: whom unmodified servers take for their client.

The segments are made by hand (toa/raw_tcp.py), so that the option comes on the SYN, on the
handshake's last segment, on data, late, malformed, or from somebody else than the load balancer.
"""

import json
import os
import pathlib
import signal
import time

import pytest

from toa.host import (BALANCER_IPV4, BALANCER_IPV6, PORTS, SPARE_PORT, STRANGER_IPV4,
                      STRANGER_IPV6, Host)
from toa.option import KIND, toa
from topology.shell import run

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD_DIR = os.environ.get("STEELYARD_BUILD") or os.environ.get("STEELYARD_BUILD_DIR")
BINARY = pathlib.Path(BUILD_DIR or REPOSITORY / "build").resolve() / "toa" / "steelyard-toa"

CLIENT_IPV4, CLIENT_IPV6, CLIENT_PORT = "192.0.2.77", "2001:db8::77", 40123
MAPPED = "::ffff:"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: namespaces and eBPF")

# (listening socket, the load balancer's address, a stranger's, the client's, the client as shown)
FAMILIES = {
    "ipv4": ("ipv4", BALANCER_IPV4, STRANGER_IPV4, CLIENT_IPV4, CLIENT_IPV4),
    "ipv6": ("ipv6", BALANCER_IPV6, STRANGER_IPV6, CLIENT_IPV6, CLIENT_IPV6),
    "ipv4-on-dual-stack": ("dual", BALANCER_IPV4, STRANGER_IPV4, CLIENT_IPV4, MAPPED + CLIENT_IPV4),
    "ipv6-on-dual-stack": ("dual", BALANCER_IPV6, STRANGER_IPV6, CLIENT_IPV6, CLIENT_IPV6),
    # The two sides of the load balancer may be of different families.
    "ipv4-over-ipv6": ("ipv6", BALANCER_IPV6, STRANGER_IPV6, CLIENT_IPV4, MAPPED + CLIENT_IPV4),
    "ipv6-over-ipv4-on-dual-stack": ("dual", BALANCER_IPV4, STRANGER_IPV4, CLIENT_IPV6,
                                     CLIENT_IPV6),
}
families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(name="host", scope="module")
def make_host(tmp_path_factory):
    """Its servers listen before steelyard-toa comes, as on a host where it is installed later."""
    host = Host(BINARY, tmp_path_factory.mktemp("toa"))
    try:
        yield host.create()
    finally:
        host.delete()


def on_ack(connection, option):
    return connection.connect(ack_options=option), b""


def on_syn(connection, option):
    return connection.connect(syn_options=option), b""


def on_data_after_lost_ack(connection, option):
    return connection.open(), option


CARRIERS = {"ack": on_ack, "syn": on_syn, "data-after-lost-ack": on_data_after_lost_ack}


def nginx_sees(host, connection, carry=on_ack, option=b""):
    """(address, port) in the response, after the access log has said the same."""
    connection, data_options = carry(connection, option)
    response = connection.ask(REQUEST, data_options)
    connection.reset()
    assert response.startswith("HTTP/1.1 200 "), response
    line = response.splitlines()[-1]
    host.nginx_log(line)
    address, port = line.split()
    return address, int(port)


def ask_peer(connection, options=b""):
    """What the peer server heard from accept() and from getpeername()."""
    answer = json.loads(connection.ask(b"who am I\n", options))
    return tuple(answer["accept"]), tuple(answer["getpeername"])


def peer_server_sees(connection, carry=on_ack, option=b""):
    connection, data_options = carry(connection, option)
    seen = ask_peer(connection, data_options)
    connection.reset()
    return seen


def own_address(connection, listener):
    """As a server behind this listening socket sees a connection without TOA."""
    is_mapped = listener == "dual" and connection.source.version == 4
    return (MAPPED if is_mapped else "") + str(connection.source), connection.source_port


@families
@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_client_is_shown(host, family, carrier):
    listener, balancer, _, client, shown = FAMILIES[family]
    nginx_port, peer_port = PORTS[listener]
    option = toa(client, CLIENT_PORT)
    with host.attached():
        seen = nginx_sees(host, host.connection(balancer, nginx_port), CARRIERS[carrier], option)
        assert seen == (shown, CLIENT_PORT)
        seen = peer_server_sees(host.connection(balancer, peer_port), CARRIERS[carrier], option)
        assert seen == ((shown, CLIENT_PORT), (shown, CLIENT_PORT))


@families
@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_stranger_is_not_believed(host, family, carrier):
    listener, _, stranger, client, _ = FAMILIES[family]
    with host.attached():
        connection = host.connection(stranger, PORTS[listener][0])
        seen = nginx_sees(host, connection, CARRIERS[carrier], toa(client, CLIENT_PORT))
    assert seen == own_address(connection, listener)


@families
def test_without_the_program_nothing_changes(host, family):
    listener, balancer, _, client, _ = FAMILIES[family]
    connection = host.connection(balancer, PORTS[listener][0])
    seen = nginx_sees(host, connection, on_ack, toa(client, CLIENT_PORT))
    assert seen == own_address(connection, listener)


def test_an_ipv6_client_cannot_be_shown_on_an_ipv4_socket(host):
    with host.attached():
        connection = host.connection(BALANCER_IPV4, 80)
        seen = nginx_sees(host, connection, on_ack, toa(CLIENT_IPV6, CLIENT_PORT))
    assert seen == (BALANCER_IPV4, connection.source_port)


NOP, EOL = b"\x01", b"\x00"
GOOD = toa(CLIENT_IPV4, CLIENT_PORT)
MALFORMED = {
    "absent": b"",
    "length 7": bytes([KIND, 7]) + GOOD[2:7] + NOP,
    "length 9": bytes([KIND, 9]) + GOOD[2:] + NOP + 3 * NOP,
    "length 0": bytes([KIND, 0]) + GOOD[2:],
    "length 1": bytes([KIND, 1]) + GOOD[2:],
    "length 255": bytes([KIND, 255]) + GOOD[2:],
    "cut off by the header's end": GOOD[:4],
    "ipv6 length, ipv4 bytes": bytes([KIND, 20]) + GOOD[2:],
    "kind alone": 3 * NOP + bytes([KIND]),
    "after the end of the list": EOL + 3 * NOP + GOOD,
    "after a broken option": bytes([30, 1]) + 2 * NOP + GOOD,
    "inside another option": bytes([30, 12, 0, 0]) + GOOD,
    "another kind": toa(CLIENT_IPV4, CLIENT_PORT, kind=253),
}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_option_is_ignored(host, case, carrier):
    with host.attached():
        connection = host.connection(BALANCER_IPV4, 80)
        seen = nginx_sees(host, connection, CARRIERS[carrier], MALFORMED[case])
    assert seen == (BALANCER_IPV4, connection.source_port)


FULL_HEADERS = {
    "at the end": 8 * 4 * NOP + GOOD,
    "unaligned": 5 * NOP + GOOD,
    "behind timestamps": 2 * NOP + bytes([8, 10]) + bytes(8) + GOOD,
    "behind one of another length": bytes([KIND, 4, 0, 0]) + GOOD,
    "twice, the first counts": GOOD + toa("192.0.2.1", 1),
    "ipv6 at the end": 5 * 4 * NOP + toa(CLIENT_IPV6, CLIENT_PORT),
}


@pytest.mark.parametrize("case", FULL_HEADERS)
def test_it_is_found_anywhere_in_the_header(host, case):
    with host.attached():
        connection = host.connection(BALANCER_IPV4, 8080)
        seen = nginx_sees(host, connection, on_ack, FULL_HEADERS[case])
    shown = CLIENT_IPV6 if "ipv6" in case else MAPPED + CLIENT_IPV4
    assert seen == (shown, CLIENT_PORT)


@families
def test_late_on_data_it_reaches_getpeername(host, family):
    """The handshake ended without it, and accept() has returned already."""
    listener, balancer, _, client, shown = FAMILIES[family]
    with host.attached():
        connection = host.connection(balancer, PORTS[listener][1])
        connection.connect()
        time.sleep(0.2)
        accepted, peer = ask_peer(connection, toa(client, CLIENT_PORT))
        assert accepted == own_address(connection, listener)
        assert peer == (shown, CLIENT_PORT)
        connection.reset()


def test_after_the_backend_has_spoken_it_is_not_believed(host):
    with host.attached():
        connection = host.connection(BALANCER_IPV4, 81).connect()
        ask_peer(connection)
        _, peer = ask_peer(connection, GOOD)
        assert peer == (BALANCER_IPV4, connection.source_port)
        connection.reset()


def test_the_first_address_stays(host):
    with host.attached():
        connection = host.connection(BALANCER_IPV4, 81).connect(ack_options=GOOD)
        for _ in range(2):
            _, peer = ask_peer(connection, toa("192.0.2.1", 1))
            assert peer == (CLIENT_IPV4, CLIENT_PORT)
        connection.reset()


@pytest.mark.parametrize("source, is_believed", ((BALANCER_IPV4, True), (STRANGER_IPV4, False)))
def test_a_prefix_is_believed_to_its_end(host, source, is_believed):
    with host.attached(local=("10.9.0.0/25",)):
        connection = host.connection(source, 80)
        address, _ = nginx_sees(host, connection, on_ack, GOOD)
    assert address == (CLIENT_IPV4 if is_believed else source)


def test_every_ipv6_address_is_no_ipv4_address(host):
    with host.attached(local=("::/0",)):
        connection = host.connection(BALANCER_IPV4, 8080)
        seen = nginx_sees(host, connection, on_ack, GOOD)
    assert seen == own_address(connection, "dual")


def test_another_kind(host):
    option = toa(CLIENT_IPV4, CLIENT_PORT, kind=200)
    with host.attached("--kind", "200"):
        seen = nginx_sees(host, host.connection(BALANCER_IPV4, 80), on_ack, option)
        assert seen == (CLIENT_IPV4, CLIENT_PORT)
        connection = host.connection(BALANCER_IPV4, 80)
        assert nginx_sees(host, connection, on_ack, GOOD)[0] == BALANCER_IPV4


def test_with_syn_cookies(host):
    """Then the kernel keeps nothing of the SYN; the last segment alone makes the connection."""
    host.namespace.sysctl({"net.ipv4.tcp_syncookies": 2})
    try:
        with host.attached():
            seen = nginx_sees(host, host.connection(BALANCER_IPV4, 80), on_ack, GOOD)
    finally:
        host.namespace.sysctl({"net.ipv4.tcp_syncookies": 1})
    assert seen == (CLIENT_IPV4, CLIENT_PORT)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_server_that_starts_later(host, carrier):
    with host.attached():
        server = host.start_peer_server(host.cgroup, "ipv4", SPARE_PORT)
        seen = peer_server_sees(host.connection(BALANCER_IPV4, SPARE_PORT), CARRIERS[carrier], GOOD)
        server.stop()
    assert seen == ((CLIENT_IPV4, CLIENT_PORT), (CLIENT_IPV4, CLIENT_PORT))


def test_a_server_below_the_control_group(host):
    below = host.cgroup / "below"
    below.mkdir()
    server = host.start_peer_server(below, "ipv4", SPARE_PORT)
    with host.attached():
        connection = host.connection(BALANCER_IPV4, SPARE_PORT)
        accepted, _ = peer_server_sees(connection, on_syn, GOOD)
    server.stop()
    assert accepted == (CLIENT_IPV4, CLIENT_PORT)


def test_a_server_outside_the_control_group_sees_no_change(host):
    server = host.start_peer_server(None, "ipv4", SPARE_PORT)
    with host.attached():
        connection = host.connection(BALANCER_IPV4, SPARE_PORT)
        accepted, peer = peer_server_sees(connection, on_ack, GOOD)
    server.stop()
    assert accepted == peer == (BALANCER_IPV4, connection.source_port)


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGKILL),
                         ids=lambda number: number.name)
def test_when_it_ends_nothing_stays_attached(host, number):
    with host.attached() as program:
        assert program.log.count("\n") == 1, program.log
        connection = host.connection(BALANCER_IPV4, 81).connect(ack_options=GOOD)
        assert ask_peer(connection)[1] == (CLIENT_IPV4, CLIENT_PORT)
        program.signal(number)
        status = program.wait(timeout_s=5)
        assert status == (-number if number == signal.SIGKILL else 0)
        assert ask_peer(connection)[1] == (BALANCER_IPV4, connection.source_port)
        connection.reset()
    seen = nginx_sees(host, host.connection(BALANCER_IPV4, 80), on_ack, GOOD)
    assert seen[0] == BALANCER_IPV4


def test_two_at_once_do_not_disturb_each_other(host):
    """As while one is being replaced: the connections of both are shown."""
    with host.attached():
        with host.attached():
            seen = nginx_sees(host, host.connection(BALANCER_IPV4, 80), on_ack, GOOD)
            assert seen == (CLIENT_IPV4, CLIENT_PORT)
        seen = nginx_sees(host, host.connection(BALANCER_IPV4, 80), on_ack, GOOD)
        assert seen == (CLIENT_IPV4, CLIENT_PORT)


def test_without_privileges_it_says_so(host):
    result = run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", BINARY,
                  "--cgroup", host.cgroup, "--local-address", "10.0.0.1"], check=False)
    assert result.returncode == 1
    assert "run as root" in result.stderr and result.stderr.count("\n") == 1, result.stderr


@pytest.mark.parametrize("arguments, status, words", (
    (["--cgroup", "/no/such", "--local-address", "10.0.0.1"], 1, "/no/such: No such file"),
    (["--cgroup", "/", "--local-address", "10.0.0.1"], 1, "not a cgroup v2 directory"),
    (["--cgroup", "/", "--local-address", "10.0.0.256"], 2, "--local-address 10.0.0.256: "),
    (["--cgroup", "/", "--local-address", "10.0.0.1/24"], 2, "--local-address 10.0.0.1/24: "),
    (["--cgroup", "/", "--local-address", "10.0.0.1", "--kind", "3"], 2, "--kind 3: "),
    (["--local-address", "10.0.0.1"], 2, "--cgroup"),
    (["--cgroup", "/"], 2, "--local-address"),
), ids=lambda value: value if isinstance(value, str) else "")
def test_bad_arguments(arguments, status, words):
    result = run([BINARY, *arguments], check=False)
    assert result.returncode == status
    assert words in result.stderr and result.stdout == "", result.stderr
