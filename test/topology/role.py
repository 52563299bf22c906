# SPDX-License-Identifier: Apache-2.0
"""What a forwarding mode asks of the backends: one row a mode."""

import collections

# gateway: who takes the answers to clients, "box", "edge", or None where they go to the box's
# local addresses anyway. owns_vips: the VIPs are on the loopback. decapsulates: tunnels end here.
Role = collections.namedtuple("Role", "gateway owns_vips decapsulates")

ROLES = {
    "full_nat": Role(gateway=None, owns_vips=False, decapsulates=False),
    "dnat": Role(gateway="box", owns_vips=False, decapsulates=False),
    "snat": Role(gateway="box", owns_vips=False, decapsulates=False),
    "direct": Role(gateway="edge", owns_vips=True, decapsulates=False),
    "tunnel": Role(gateway="edge", owns_vips=True, decapsulates=True),
}
