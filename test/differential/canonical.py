# SPDX-License-Identifier: Apache-2.0
"""A captured frame with what a box may choose freely taken out, checksums following along.

Which port a box lends where it may is its choice (RFC 4787 section 4.2): it is put back to the
host's own wherever it stands, in the packet or in the one that an ICMP error quotes. Every checksum
over it is changed by the same difference (RFC 1624), so that a wrong one stays exactly as wrong.

What a box says by itself (it comes out where its cause went in) carries an IPv4 identification of
the box's own counting (RFC 6864 section 4.1): 0 is put there.
"""

import dataclasses
import ipaddress
import struct

ETHERNET_BYTES = 14
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
_PORT_OFFSETS = {TCP: (0, 2), UDP: (0, 2)}
_CHECKSUM_OFFSET = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
_ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMPV6: range(128)}  # RFC 4443 section 2.1
_ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}
_EXTENSION_HEADERS = (0, 43, 44, 60)
ERROR_HEADER_BYTES = 8


@dataclasses.dataclass
class Ip:
    """Where things stand in an IP packet that starts at `start`."""

    version: int
    start: int
    end: int
    l4: int
    protocol: int
    source: str
    destination: str
    fragment_offset: int = 0
    more_fragments: bool = False
    identification: int = 0
    fragment_header: int = None

    @property
    def is_fragment(self):
        return self.fragment_offset > 0 or self.more_fragments


def read_ip(data, start=ETHERNET_BYTES):
    """The Ip at `start`, or None where there is none whole enough to have addresses."""
    version = data[start] >> 4 if len(data) > start else 0
    if version == 4 and len(data) >= start + 20:
        return _read_ipv4(data, start)
    if version == 6 and len(data) >= start + 40:
        return _read_ipv6(data, start)
    return None


def _read_ipv4(data, start):
    length, identification, fragment = struct.unpack_from("!HHH", data, start + 2)
    return Ip(4, start, min(start + length, len(data)), start + (data[start] & 15) * 4,
              data[start + 9], str(ipaddress.IPv4Address(bytes(data[start + 12:start + 16]))),
              str(ipaddress.IPv4Address(bytes(data[start + 16:start + 20]))),
              (fragment & 0x1fff) * 8, bool(fragment & 0x2000), identification)


def _read_ipv6(data, start):
    length, protocol = struct.unpack_from("!HB", data, start + 4)
    ip = Ip(6, start, min(start + 40 + length, len(data)), start + 40, protocol,
            str(ipaddress.IPv6Address(bytes(data[start + 8:start + 24]))),
            str(ipaddress.IPv6Address(bytes(data[start + 24:start + 40]))))
    while ip.protocol in _EXTENSION_HEADERS and ip.l4 + 8 <= ip.end and not ip.fragment_offset:
        header = ip.l4
        if ip.protocol == 44:
            offset, ip.identification = struct.unpack_from("!HI", data, header + 2)
            ip.fragment_offset, ip.more_fragments = offset & 0xfff8, bool(offset & 1)
            ip.fragment_header = header
            ip.l4 += 8
        else:
            ip.l4 += (data[header + 1] + 1) * 8
        ip.protocol = data[header]
    return ip


def quoted_ip(data, ip):
    """The Ip that an ICMP error quotes, or None if the packet is no such error."""
    if ip is None or ip.is_fragment or ip.protocol not in _ERRORS or ip.l4 >= ip.end:
        return None
    if data[ip.l4] not in _ERRORS[ip.protocol]:
        return None
    quoted = read_ip(data, ip.l4 + ERROR_HEADER_BYTES)
    if quoted is not None:
        quoted.end = min(quoted.end, ip.end)
    return quoted


def addresses_of(frame):
    """Of the packet and of what it quotes."""
    ip = read_ip(frame)
    quoted = quoted_ip(frame, ip)
    return [address for each in (ip, quoted) if each for address in (each.source, each.destination)]


def without_own_identification(frame):
    """Of a frame that a box sent by itself."""
    ip = read_ip(frame)
    if ip.version != 4:
        return frame
    data = bytearray(frame)
    struct.pack_into("!H", data, ip.start + 4, 0)
    _set_header_checksum(data, ip.start, ip.l4)
    return bytes(data)


# --- taking the lent port out --------------------------------------------------------------------


def lent_port(frame, flow):
    """The port (or echo identifier) that the packet carries beside the flow's lent address."""
    ip = read_ip(frame)
    if ip is None or ip.fragment_offset:
        return None
    at = _lent_port_offset(frame, ip, flow.lent_address)
    return None if at is None else struct.unpack_from("!H", frame, at)[0]


def without_lent_port(frame, flow, box):
    """The frame as it were if the box had lent the host's own port."""
    lent = flow.lent_ports.get(box) if flow.lent_ports else None
    if lent is None:
        return frame
    data = bytearray(frame)
    ip = read_ip(data)
    quoted = quoted_ip(data, ip)
    if quoted is not None and not quoted.fragment_offset:
        before = bytes(data[ip.l4:ip.end])
        _put_back(data, quoted, flow, lent)
        _correct(data, ip.l4 + _CHECKSUM_OFFSET[ip.protocol], before, data[ip.l4:ip.end],
                 ip.protocol)
    elif ip is not None and not ip.fragment_offset:
        _put_back(data, ip, flow, lent)
    return bytes(data)


def _lent_port_offset(data, ip, lent_address):
    if ip.protocol in _ECHO:
        is_echo = ip.l4 + 6 <= ip.end and data[ip.l4] in _ECHO[ip.protocol]
        return ip.l4 + 4 if is_echo and lent_address in (ip.source, ip.destination) else None
    if ip.protocol not in _PORT_OFFSETS or ip.l4 + 4 > ip.end:
        return None
    for address, offset in zip((ip.source, ip.destination), _PORT_OFFSETS[ip.protocol]):
        if address == lent_address:
            return ip.l4 + offset
    return None


def _put_back(data, ip, flow, lent):
    at = _lent_port_offset(data, ip, flow.lent_address)
    if at is None or struct.unpack_from("!H", data, at)[0] != lent:
        return
    before = bytes(data[at:at + 2])
    struct.pack_into("!H", data, at, flow.own_port)
    checksum = ip.l4 + _CHECKSUM_OFFSET[ip.protocol]
    if checksum + 2 <= ip.end:
        _correct(data, checksum, before, data[at:at + 2], ip.protocol)


def _correct(data, at, before, after, protocol):
    """The checksum at `at`, which covered the bytes before, now covers those after."""
    checksum = struct.unpack_from("!H", data, at)[0]
    if protocol == UDP and checksum == 0:
        return
    change = _sum(after) + 0xffff * len(before) - _sum(before)
    corrected = _fold((checksum ^ 0xffff) + change) ^ 0xffff
    # Of the two zeros of one's complement always the same one; UDP's other means "none".
    struct.pack_into("!H", data, at, corrected or 0xffff)


def _set_header_checksum(data, start, end):
    struct.pack_into("!H", data, start + 10, 0)
    struct.pack_into("!H", data, start + 10, _fold(_sum(data[start:end])) ^ 0xffff)


def _fold(total):
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def _sum(data):
    data = bytes(data) + bytes(len(data) % 2)
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


# --- putting fragments together ------------------------------------------------------------------


def reassembled(frames):
    """The frames of one side with complete sets of fragments put together, the others as they are.

    How a box cuts what it has reassembled is its own affair (RFC 791 section 3.2), as is whether a
    fragment of one piece stays one (RFC 6946).
    """
    result, sets = [], {}
    for frame in frames:
        ip = read_ip(frame)
        if ip is None or not (ip.is_fragment or ip.fragment_header):
            result.append(frame)
        else:
            key = (ip.version, ip.source, ip.destination, ip.identification, ip.protocol)
            sets.setdefault(key, []).append((ip, frame))
    for pieces in sets.values():
        whole = _join(sorted(pieces, key=lambda piece: piece[0].fragment_offset))
        result += [whole] if whole else [frame for _, frame in pieces]
    return result


def _join(pieces):
    content = b""
    for ip, frame in pieces:
        if ip.fragment_offset != len(content):
            return None
        content += frame[ip.l4:ip.end]
    if pieces[-1][0].more_fragments:
        return None
    ip, first = pieces[0]
    header = bytearray(first[:ip.l4])
    if ip.version == 4:
        struct.pack_into("!H", header, ip.start + 2, ip.l4 - ip.start + len(content))
        struct.pack_into("!H", header, ip.start + 6,
                         struct.unpack_from("!H", header, ip.start + 6)[0] & 0xc000)
        _set_header_checksum(header, ip.start, ip.l4)
    else:
        before = ip.start + 6
        offset = ip.start + 40
        while offset != ip.fragment_header:
            before, offset = offset, offset + (header[offset + 1] + 1) * 8
        header[before] = header[ip.fragment_header]
        del header[ip.fragment_header:ip.fragment_header + 8]
        struct.pack_into("!H", header, ip.start + 4, len(header) - ip.start - 40 + len(content))
    return bytes(header) + content
