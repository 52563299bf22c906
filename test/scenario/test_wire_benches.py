# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of bench/wire, small: they measure what they say, and see when something is wrong.
How fast anything is, is not looked at.
"""

import ipaddress
import json
import pathlib
import struct
import subprocess
import sys

import pytest
from conftest import BUILD_DIR
from scapy.layers.inet import TCP, UDP
from scapy.utils import rdpcap
from topology.wire import Traffic

WIRE = pathlib.Path(__file__).resolve().parents[2] / "bench" / "wire"
sys.path.insert(0, str(WIRE))

# pylint: disable-next=wrong-import-position
import trace_file

FLOWS = 500
MODES = ("io", "5tswap")
BOX_MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
LAYER = {"tcp": TCP, "udp": UDP}
HEADER_BYTES = {("tcp", 4): 54, ("udp", 4): 42, ("tcp", 6): 74, ("udp", 6): 62}
FEW = ["--build", BUILD_DIR, "--plain-memory", "--flows", FLOWS, "--turns", 1, "--turn-s", 0.2,
       "--modes", *MODES]
# Run as the file that is the first argument, with another local port in one flow of the trace.
DAMAGED = """
import runpy, sys
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
import trace_file
whole = trace_file.Flows.__getitem__
def damaged(flows, index):
    flow = whole(flows, index)
    return flow._replace(local_port=flow.local_port ^ 1) if index == 0 else flow
trace_file.Flows.__getitem__ = damaged
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_bench(directory, command, *words, status=0):
    """Returns the rows, and what was printed."""
    rows = directory / "rows.json"
    done = subprocess.run([str(word) for word in (*command, *FEW, "--json", rows, *words)],
                          capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == status and rows.exists(), done.stdout + done.stderr
    return json.loads(rows.read_text()), done.stdout


def assert_measured(rows, bench, frame_bytes):
    programs = [f"testpmd {mode}" for mode in MODES] + ["steelyard"]
    assert [(row["frame_bytes"], row["program"]) for row in rows] == [
        (size, program) for size in frame_bytes for program in programs]
    for row in rows:
        assert row["bench"] == bench and row["flows"] == FLOWS and "Linux" in row["machine"]
        assert row["mpps"] > 0 and row["ns"] > 0
        assert all(row[f"times_{mode}"] > 0 for mode in MODES)
        assert not any(isinstance(value, (dict, list)) for value in row.values())


@pytest.mark.parametrize("name, frame_bytes", (("run", [64]), ("trace", [64, "imix"]),
                                               ("memif", [64, 1500])))
def test_all_programs_are_measured(tmp_path, name, frame_bytes):
    rows, printed = run_bench(tmp_path, [WIRE / name], "--frame-bytes", *frame_bytes)
    assert_measured(rows, name, frame_bytes)
    assert not any(row["faults"] for row in rows) and "FAULTS" not in printed


@pytest.mark.parametrize("protocol, family", (("udp", 4), ("tcp", 6)))
def test_other_traces(tmp_path, protocol, family):
    rows, _ = run_bench(tmp_path, [WIRE / "trace"], "--frame-bytes", 1500, "--protocol", protocol,
                        "--family", family, "--packets-a-flow", 1)
    assert_measured(rows, "trace", [1500])
    assert not any(row["faults"] for row in rows)


def test_trace_that_meets_no_session_is_a_fault(tmp_path):
    rows, printed = run_bench(tmp_path, [sys.executable, "-c", DAMAGED, WIRE / "trace"],
                              "--frame-bytes", 64, status=1)
    assert [bool(row["faults"]) for row in rows] == [False, False, True]
    assert "FAULTS: punted: " in printed


def low(address):
    return int(ipaddress.ip_address(address)) & 0xffffffff


def learnt_flows(path, traffic):
    """What a generator might have learnt of some flows."""
    path.write_bytes(b"".join(
        struct.pack("!IHHII", low(traffic.client) + 1, 1024 + flow, 60000 - flow,
                    low(traffic.local_addresses[flow % 32]), low(traffic.backends[flow % 8]))
        for flow in range(FLOWS)))
    return trace_file.Flows(path)


def endpoints(packet, layer):
    ip = packet.payload
    return low(ip.src), packet[layer].sport, low(ip.dst), packet[layer].dport


@pytest.mark.parametrize("family", (4, 6))
@pytest.mark.parametrize("protocol", ("tcp", "udp"))
def test_traces_are_of_all_flows_and_right(tmp_path, protocol, family):
    traffic = Traffic(FLOWS, protocol, family)
    layer = LAYER[protocol]
    flows = learnt_flows(tmp_path / "learnt", traffic)
    traces = trace_file.write_traces(tmp_path, flows, traffic, "imix", 2, BOX_MACS)
    of_clients, of_backends = (rdpcap(str(path)) for path, _ in traces)
    assert [count for _, count in traces] == [len(of_clients), len(of_backends)] == [FLOWS, FLOWS]
    vip = (low(traffic.vip), traffic.port)
    seen_by_clients = [endpoints(packet, layer) for packet in of_clients]
    assert sorted(seen_by_clients) == sorted(
        (flow.client, flow.client_port, *vip) for flow in flows)
    assert seen_by_clients != sorted(seen_by_clients)
    assert sorted(endpoints(packet, layer) for packet in of_backends) == sorted(
        (flow.backend, traffic.port, flow.local, flow.local_port) for flow in flows)
    for packets, box_mac in ((of_clients, BOX_MACS[0]), (of_backends, BOX_MACS[1])):
        assert {packet.dst for packet in packets} == {box_mac}
        assert {len(packet) for packet in packets} == {
            max(size - trace_file.FRAME_CHECK_BYTES, HEADER_BYTES[protocol, family])
            for size, _ in trace_file.IMIX}
        for packet in packets[:50]:
            again = packet.copy()
            if family == 4:
                del again.payload.chksum
            del again[layer].chksum
            assert bytes(again) == bytes(packet)


def test_one_packet_a_flow(tmp_path):
    traffic = Traffic(FLOWS, "udp")
    flows = learnt_flows(tmp_path / "learnt", traffic)
    traces = trace_file.write_traces(tmp_path, flows, traffic, 64, 1, BOX_MACS)
    (clients, client_count), (backends, backend_count) = traces
    assert client_count + backend_count == FLOWS and client_count > 0 and backend_count > 0
    of_clients = {packet[UDP].sport - 1024 for packet in rdpcap(str(clients))}
    of_backends = {60000 - packet[UDP].dport for packet in rdpcap(str(backends))}
    assert of_clients | of_backends == set(range(FLOWS)) and not of_clients & of_backends
