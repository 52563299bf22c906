# SPDX-License-Identifier: Apache-2.0
"""TOA as the load balancer writes it."""

import ipaddress
import struct

KIND = 254


def toa(address, port, kind=KIND):
    """The option's bytes: 8 with an IPv4 address, 20 with an IPv6 one."""
    packed = ipaddress.ip_address(address).packed
    return struct.pack("!BBH", kind, 4 + len(packed), port) + packed
