# SPDX-License-Identifier: Apache-2.0
"""The backend's end of tunnels: decapsulate.py GUE_PORT, as root.

Takes the outer header off IPIP (protocol 4 and 41, over IPv4 and IPv6) and off GUE (draft-ietf-
intarea-gue: variant 0, and variant 1 where the inner header follows UDP at once), and gives the
inner packet to the kernel by a TUN device. The sockets are the kernel's own, so it has reassembled
the outer packets and checked their checksums before; kernels without tunnel devices have them too.

Says "ready" when it is.
"""

import fcntl
import os
import selectors
import socket
import struct
import subprocess
import sys

DEVICE = "decapsulated"
INNER_PROTOCOLS = (socket.IPPROTO_IPIP, socket.IPPROTO_IPV6)
RECEIVE_BUFFER_BYTES = 8 << 20
LARGEST_PACKET = 65536
PACKETS_AT_ONCE = 64

SO_RCVBUFFORCE = 33
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
UDP_NO_CHECK6_RX = 102  # a tunnel's UDP checksum may be zero (RFC 6935)


def main():
    device = make_device()
    with selectors.DefaultSelector() as selector:
        for source, inner_of in sources(int(sys.argv[1])):
            source.setblocking(False)
            source.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
            selector.register(source, selectors.EVENT_READ, inner_of)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                pass_on(key.fileobj, key.data, device)


def make_device():
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", DEVICE, "up"], check=True)
    return device


def sources(gue_port):
    """Sockets, each with the function that finds the inner packet in what it receives."""
    for protocol in INNER_PROTOCOLS:
        yield socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol), after_ipv4_header
        yield socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol), whole
    for family in (socket.AF_INET, socket.AF_INET6):
        gue = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            gue.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            gue.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
        gue.bind(("", gue_port))
        yield gue, after_gue_header


def pass_on(source, inner_of, device):
    for _ in range(PACKETS_AT_ONCE):
        try:
            packet = source.recv(LARGEST_PACKET)
        except BlockingIOError:
            return
        inner = inner_of(packet)
        try:
            os.write(device, inner)
        except OSError as error:  # no IP packet
            print(f"{source}: {error}: {packet[:64].hex()}", flush=True)


def after_ipv4_header(packet):
    return packet[4 * (packet[0] & 0x0F):]


def whole(packet):
    return packet


def after_gue_header(packet):
    """Nothing if it is a control message or a protocol of no tunnel."""
    if packet[0] >> 6 == 1:
        return packet
    is_control, option_words = packet[0] & 0x20, packet[0] & 0x1F
    if packet[0] >> 6 != 0 or is_control or packet[1] not in INNER_PROTOCOLS:
        return b""
    return packet[4 + 4 * option_words:]


if __name__ == "__main__":
    main()
