# SPDX-License-Identifier: Apache-2.0
"""A TCP client made by hand, so that any option can stand on any segment.

No retransmission, no reordering: the link is a veth pair. The address it speaks from belongs to no
kernel, so nobody else answers for it.
"""

import ipaddress
import itertools
import socket
import struct
import time

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_ETHER_TYPE = {4: 0x0800, 6: 0x86dd}
_MAXIMUM_SEGMENT = struct.pack("!BBH", 2, 4, 1400)
_TIMEOUT_S = 5
_ports = itertools.count(20000)


class Segment:
    """One received segment: flags, seq, ack and payload."""

    def __init__(self, tcp):
        self.seq, self.ack, offset, self.flags = struct.unpack("!IIBB", tcp[4:14])
        self.payload = tcp[(offset >> 4) * 4:]


class RawTcp:
    """One connection. `link` is a packet socket bound to the veth; macs are (own, peer's)."""

    def __init__(self, link, macs, source, destination, port):
        self._link = link
        self._macs = macs
        self.source = ipaddress.ip_address(source)
        self.source_port = next(_ports)
        self._destination = ipaddress.ip_address(destination)
        self._port = port
        self._seq = 1000
        self._ack = 0

    def connect(self, syn_options=b"", ack_options=b""):
        """The whole handshake."""
        self.open(syn_options)
        self.send(ACK, ack_options)
        return self

    def open(self, syn_options=b""):
        """The handshake without the last segment, which is then as good as lost."""
        self.send(SYN, _MAXIMUM_SEGMENT + syn_options)
        answer = self._receive()
        assert answer.flags & (SYN | ACK | RST) == SYN | ACK, "no SYN-ACK"
        self._ack = answer.seq + 1
        return self

    def send(self, flags, options=b"", payload=b""):
        """Options are padded with no-operation; the sequence number moves on."""
        tcp = self._tcp(flags, options + b"\x01" * (-len(options) % 4), payload)
        self._link.send(self._ethernet() + self._ip(len(tcp)) + tcp)
        self._seq += len(payload) + bool(flags & SYN) + bool(flags & FIN)

    def ask(self, payload, options=b""):
        """Sends data and returns the data that comes back, acknowledged, up to a line's end."""
        self.send(PSH | ACK, options, payload)
        answer = b""
        while not answer.endswith(b"\n"):
            segment = self._receive()
            assert not segment.flags & RST, "the server reset the connection"
            if segment.seq != self._ack or not segment.payload:
                continue
            answer += segment.payload
            self._ack += len(segment.payload)
            self.send(ACK)
        return answer.decode()

    def reset(self):
        self.send(RST | ACK)

    def _receive(self):
        deadline = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline:
            self._link.settimeout(max(deadline - time.monotonic(), 0.001))
            tcp = self._tcp_of(self._link.recv(65536))
            if tcp is not None:
                return Segment(tcp)
        raise TimeoutError("no segment from the server")

    def _tcp_of(self, frame):
        """The TCP segment in an Ethernet frame, if it is for this connection."""
        packet = frame[14:]
        if packet[0] >> 4 == 4:
            header, protocol, addresses = (packet[0] & 15) * 4, packet[9], packet[12:20]
            packet = packet[:struct.unpack("!H", packet[2:4])[0]]
        else:
            header, protocol, addresses = 40, packet[6], packet[8:40]
            packet = packet[:40 + struct.unpack("!H", packet[4:6])[0]]
        ours = self._destination.packed + self.source.packed
        tcp = packet[header:]
        if protocol != socket.IPPROTO_TCP or addresses != ours or len(tcp) < 20:
            return None
        return tcp if tcp[:4] == struct.pack("!HH", self._port, self.source_port) else None

    def _ethernet(self):
        own, peer = self._macs
        return peer + own + struct.pack("!H", _ETHER_TYPE[self.source.version])

    def _ip(self, length):
        addresses = self.source.packed + self._destination.packed
        if self.source.version == 6:
            return struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_TCP, 64) + addresses
        fields = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, 0, 0x4000, 64, socket.IPPROTO_TCP)
        checksum = _checksum(fields + b"\0\0" + addresses)
        return fields + struct.pack("!H", checksum) + addresses

    def _tcp(self, flags, options, payload):
        ack = self._ack if flags & ACK else 0
        ports = struct.pack("!HH", self.source_port, self._port)
        fields = struct.pack("!IIBBH", self._seq, ack, (5 + len(options) // 4) << 4, flags, 65535)
        rest = options + payload
        length = len(ports + fields) + 4 + len(rest)
        pseudo = (self.source.packed + self._destination.packed
                  + struct.pack("!II", length, socket.IPPROTO_TCP))
        checksum = _checksum(pseudo + ports + fields + b"\0\0\0\0" + rest)
        return ports + fields + struct.pack("!HH", checksum, 0) + rest


def _checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
