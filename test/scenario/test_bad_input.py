# SPDX-License-Identifier: Apache-2.0
"""Bad input is refused whole: where and what is said, exit status 1, nothing changes."""

import pytest
import traffic
from topology import network

# Line 1 is local_addresses, line 2 "services:", line 3 the first service. {key: …} per case is the
# line to find, a word of the message, and the text of the file.
GOOD_BACKENDS = '    backends: [{address: "10.0.2.11", port: 80}]\n'
HEAD = 'local_addresses: ["10.0.2.100"]\nservices:\n'


def one_service(*extra_lines, address="10.0.1.10", port="80"):
    lines = ["  - name: web", f"    address: {address}", f"    port: {port}",
             "    protocol: tcp", *(f"    {line}" for line in extra_lines)]
    return "\n".join(lines) + "\n" + GOOD_BACKENDS


CASES = {
    "unknown-key": (7, "colour", HEAD + one_service("colour: blue")),
    "duplicate-vip-and-port": (9, "10.0.1.10:80", HEAD + one_service() + one_service().replace(
        "name: web", "name: again")),
    "duplicate-name": (8, "web", HEAD + one_service() + one_service(port="81")),
    "port-70000": (5, "70000", HEAD + one_service(port="70000")),
    "port-0": (5, "0", HEAD + one_service(port="0")),
    "wrong-type": (5, "eighty", HEAD + one_service(port="eighty")),
    "list-instead-of-text": (4, "address", HEAD + one_service(address="[10.0.1.10]")),
    "not-an-address": (4, "10.0.1.300", HEAD + one_service(address="10.0.1.300")),
    "families-differ": (8, "fd00:2::11", HEAD + one_service("mode: dnat").replace(
        "10.0.2.11", "fd00:2::11")),
    "not-yaml": (4, "YAML", HEAD + "  - {name: web\n"),
    "unknown-scheduler": (7, "fastest", HEAD + one_service("scheduler: fastest")),
    "time-without-unit": (7, "350", HEAD + one_service("timeouts: {tcp_established: 350}")),
}


@pytest.fixture(name="unchanged")
def fixture_unchanged(topology):
    """Afterwards generation and state are as before, and the service still answers."""
    box = topology.box
    box.apply(traffic.web_state(topology))
    before = running_state(box)
    yield
    assert running_state(box) == before
    traffic.fetch(topology, network.VIP_IPV4)


def running_state(box):
    version = box.ctl_json("version")
    services = box.ctl_json("service", "list")
    return (version["generation"], version["dataplane_generation"],
            [service["service"] for service in services["services"]])


@pytest.mark.parametrize("case", CASES)
def test_refused_with_its_place(topology, unchanged, case):
    line, word, text = CASES[case]
    path = topology.box.directory / "bad.yaml"
    path.write_text(text)
    result = topology.box.ctl("apply", "-f", path, check=False)
    assert result.returncode == 1, result
    assert f"bad.yaml:{line}:" in result.stderr and word in result.stderr, result.stderr


def test_local_address_that_the_box_lacks(topology, unchanged):
    path = topology.box.directory / "bad.yaml"
    path.write_text(HEAD.replace("10.0.2.100", "10.0.2.222") + one_service())
    result = topology.box.ctl("apply", "-f", path, check=False)
    assert result.returncode == 1, result
    assert "bad.yaml:1:" in result.stderr and "10.0.2.222" in result.stderr, result.stderr


def test_every_fault_at_once(topology, unchanged):
    path = topology.box.directory / "bad.yaml"
    path.write_text(HEAD + one_service("colour: blue", port="70000", address="10.0.1.300"))
    result = topology.box.ctl("apply", "-f", path, check=False)
    assert result.returncode == 1, result
    for word in ("colour", "70000", "10.0.1.300"):
        assert word in result.stderr, result.stderr


def test_missing_file(topology, unchanged):
    result = topology.box.ctl("apply", "-f", "/nowhere/services.yaml", check=False)
    assert result.returncode == 1, result
    assert "/nowhere/services.yaml" in result.stderr, result.stderr


def test_usage(topology, unchanged):
    for words in ((), ("frobnicate",), ("apply",), ("service", "list", "--frobnicate")):
        assert topology.box.ctl(*words, check=False).returncode == 2, words


def test_unknown_service(topology, unchanged):
    assert topology.box.ctl("service", "show", "nobody", check=False).returncode == 3


def test_generation_conflict(topology, unchanged):
    path = topology.box.directory / "empty.yaml"
    path.write_text("local_addresses: []\nservices: []\n")
    result = topology.box.ctl("apply", "-f", path, "--expected-generation", "999999", check=False)
    assert result.returncode == 4, result


def test_daemon_configuration(topology, unchanged):
    """--check says where and what, and starts nothing."""
    box = topology.box
    path = box.directory / "bad-steelyard.yaml"
    check = [box.controlplane_program, "--check", "--config"]
    path.write_text(box.configuration.read_text() + "colour: blue\n")
    result = box.namespace.run([*check, path], check=False)
    assert result.returncode == 1, result
    assert "bad-steelyard.yaml:5:" in result.stderr and "colour" in result.stderr, result.stderr
    result = box.namespace.run([*check, "/nowhere/steelyard.yaml"], check=False)
    assert result.returncode == 1 and "/nowhere/steelyard.yaml" in result.stderr, result.stderr
    assert box.namespace.run([*check, box.configuration], check=False).returncode == 0


@pytest.mark.parametrize("words, named", (
    (("--port", "af_packet:nosuch0"), "nosuch0"),
    (("--port", "af_packet:port0", "--worker-cores", "0-64"), "65 workers"),
    (("--port", "carrier-pigeon:port0"), "carrier-pigeon"),
    ((), "--port"),
), ids=("no-such-interface", "too-many-workers", "unknown-driver", "no-port"))
def test_dataplane_flags(topology, unchanged, words, named):
    """A dataplane that cannot start says why and leaves the running one alone."""
    program = topology.box.dataplane_program
    result = topology.box.namespace.run(
        [program, "--memory", "none", "--kernel-interface-prefix", "other",
         "--control-socket", topology.box.directory / "other.sock",
         "--session-directory", topology.box.session_directory.parent / "other", *words],
        check=False)
    assert result.returncode in (1, 2), result
    assert named in result.stderr, result.stderr
