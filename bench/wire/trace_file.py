# SPDX-License-Identifier: Apache-2.0
"""Capture files of established flows, as the clients' and as the backends' port of the box receives
them: all in random order, and always the same for the same flows.

A packet is a copy of a template with addresses and ports set and the checksums moved by as much, for
millions of them are wanted. Addresses differ in their last four bytes alone.
"""

import ipaddress
import random
import struct
import typing

# From an IMIX of 7:4:1, which most testers mean; with the frame check sequence.
IMIX = ((64, 7), (594, 4), (1518, 1))
FRAME_CHECK_BYTES = 4
LEARNT = struct.Struct("!IHHII")  # LearntFlow of generator.h
PROTOCOL_NUMBER = {"tcp": 6, "udp": 17}
TTL = 64
SEED = 1
_FILE_HEADER = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)
_RECORD_HEADER = struct.Struct("<IIII")
_ETHERNET_BYTES = 14
_ETHER_TYPE = {4: 0x0800, 6: 0x86dd}


class Flow(typing.NamedTuple):
    """Both sides of the box of one flow; addresses are their last four bytes, as a number."""

    client: int
    client_port: int
    local_port: int
    local: int
    backend: int


class Flows:
    """As the generator's plugin has learnt them. Millions are not to be objects all at once."""

    def __init__(self, path):
        self._data = path.read_bytes()

    def __len__(self):
        return len(self._data) // LEARNT.size

    def __iter__(self):
        return (Flow(*fields) for fields in LEARNT.iter_unpack(self._data))

    def __getitem__(self, index):
        return Flow(*LEARNT.unpack_from(self._data, index * LEARNT.size))


class Side:
    """What all packets have in common that one port of the box receives, and how to write one."""

    def __init__(self, protocol, macs, addresses):
        """macs, addresses: of source and destination."""
        self._protocol = protocol
        self._macs = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in reversed(macs))
        source, destination = map(ipaddress.ip_address, addresses)
        self._prefixes = [address.packed[:-4] + bytes(4) for address in (source, destination)]
        self._family = source.version
        self._records = {}

    def record(self, frame_bytes, source, destination, source_port, destination_port):
        """Addresses as in Flow. A capture file's record, header and all."""
        template, sums = self._template(frame_bytes)
        record = bytearray(template)
        addresses = _words_of(source) + _words_of(destination)
        at = _RECORD_HEADER.size + _ETHERNET_BYTES
        if self._family == 4:
            struct.pack_into("!HII", record, at + 10, _checksum(sums[0] + addresses), source,
                             destination)
            at += 20
        else:
            struct.pack_into("!I", record, at + 20, source)
            struct.pack_into("!I", record, at + 36, destination)
            at += 40
        struct.pack_into("!HH", record, at, source_port, destination_port)
        checksum = _checksum(sums[1] + addresses + source_port + destination_port)
        if self._protocol == "tcp":
            struct.pack_into("!H", record, at + 16, checksum)
        else:
            struct.pack_into("!H", record, at + 6, checksum or 0xffff)
        return record

    def _template(self, frame_bytes):
        """A record without what record() sets, and the sums of its two checksums' words."""
        if frame_bytes not in self._records:
            self._records[frame_bytes] = self._make_template(frame_bytes - FRAME_CHECK_BYTES)
        return self._records[frame_bytes]

    def _make_template(self, length):
        ip_bytes = 20 if self._family == 4 else 40
        l4_bytes = 20 if self._protocol == "tcp" else 8
        length = max(length, _ETHERNET_BYTES + ip_bytes + l4_bytes)
        l4_length = length - _ETHERNET_BYTES - ip_bytes
        number = PROTOCOL_NUMBER[self._protocol]
        if self._family == 4:
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, ip_bytes + l4_length, 0, 0x4000, TTL, number,
                             0, *self._prefixes)
        else:
            ip = struct.pack("!IHBB16s16s", 6 << 28, l4_length, number, TTL, *self._prefixes)
        if self._protocol == "tcp":  # an acknowledgment with data
            l4 = struct.pack("!HHIIBBHHH", 0, 0, 1, 1, 5 << 4, 0x18, 65535, 0, 0)
        else:
            l4 = struct.pack("!HHHH", 0, 0, l4_length, 0)
        frame = self._macs + struct.pack("!H", _ETHER_TYPE[self._family]) + ip + l4
        frame = frame.ljust(length, b"\0")
        pseudo_header = b"".join(self._prefixes)
        sums = _sum(ip), _sum(pseudo_header) + number + l4_length + _sum(l4)
        return _RECORD_HEADER.pack(0, 0, length, length) + frame, sums


def write_trace(path, flows, order, frame_bytes, side, endpoints):
    """order: indices of flows, one a packet. frame_bytes: of each packet, or "imix".
    endpoints(flow): what Side.record() takes after the size. Returns the number of packets."""
    if frame_bytes == "imix":
        sizes, weights = zip(*IMIX)
        all_sizes = random.Random(SEED).choices(sizes, weights, k=len(order))
    else:
        all_sizes = [frame_bytes] * len(order)
    with open(path, "wb") as file:
        file.write(_FILE_HEADER)
        for index, size in zip(order, all_sizes):
            file.write(side.record(size, *endpoints(flows[index])))
    return len(order)


def write_traces(directory, flows, traffic, frame_bytes, packets_a_flow, box_macs):
    """Every flow once from each side or, if packets_a_flow is 1, from one of both at random. Returns
    the paths and numbers of packets of the clients' and the backends' trace."""
    randomness = random.Random(SEED)
    orders = [list(range(len(flows))) for _ in range(2)]
    if packets_a_flow == 1:
        is_clients = [randomness.random() < 0.5 for _ in orders[0]]
        orders = [[index for index in orders[0] if is_clients[index] == wanted]
                  for wanted in (True, False)]
    for order in orders:
        randomness.shuffle(order)
    vip = int(ipaddress.ip_address(traffic.vip)) & 0xffffffff
    client_mac, backend_mac = traffic.macs
    sides = (
        (Side(traffic.protocol, (client_mac, box_macs[0]), (traffic.client, traffic.vip)),
         lambda flow: (flow.client, vip, flow.client_port, traffic.port)),
        (Side(traffic.protocol, (backend_mac, box_macs[1]),
              (traffic.backends[0], traffic.local_addresses[0])),
         lambda flow: (flow.backend, flow.local, traffic.port, flow.local_port)))
    traces = []
    for name, order, (side, endpoints) in zip(("clients", "backends"), orders, sides):
        path = directory / f"{name}.pcap"
        traces.append((path, write_trace(path, flows, order, frame_bytes, side, endpoints)))
    return traces


def _words_of(address):
    return (address >> 16) + (address & 0xffff)


def _sum(data):
    """Of its 16-bit words."""
    return sum(word for word, in struct.iter_unpack("!H", data))


def _checksum(total):
    while total > 0xffff:
        total = (total >> 16) + (total & 0xffff)
    return total ^ 0xffff
