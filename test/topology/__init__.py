# SPDX-License-Identifier: Apache-2.0
"""A box under load balance, made of network namespaces, for the demo and the scenarios.

Everything runs for real: the three programs, nginx, the kernel's stacks. Needs root, and Python's
standard library only.

    client         front              box                               back       backends

  +-----------+   +-------+   +--------------------------------------+   +-------+   +-----------+
  | client0   |===|       |===| port0 |    dataplane     |     port1 |===|       |===| backend1  |
  | 10.0.1.2  |   | bridge|   | . . . .|. . . . . . . . .|. . . . . .|   | bridge|   | 10.0.2.11 |
  | fd00:1::2 |   |       |   | steel0              steel1           |   |       |   +-----------+
  +-----------+   |       |   | 10.0.1.1            10.0.2.1         |   |       |===| backend2  |
                  |       |   | fd00:1::1           fd00:2::1        |   |       |   | 10.0.2.12 |
                  |       |   | VIPs                10.0.2.100 .101  |   |       |   +-----------+
                  |       |   | 10.0.1.10           fd00:2::100 ::101|   |       |      ...
                  |       |   | fd00:1::10          (local addresses)|   |       |
                  |       |   +--------------------------------------+   |       |
                  |       |   +--------------------------------------+   |       |
                  |       |===| 10.0.1.60          edge    10.0.2.60 |===|       |
                  +-------+   +--------------------------------------+   +-------+

Every === is a veth pair, and every IPv4 address has an IPv6 one beside it. steel0 has 10.0.1.100 and
fd00:1::100 too, the outside addresses of outbound gateways. The edge is a router past the box, where
the answers of DSR go. With arms=1 the box has only port0 and steel0, and everyone is
on one bridge. With narrow_links=True there are a backend and a client more, behind routers:

    back    +---------+ MTU 1300 +-----------+       edge  MTU 1300 +----------+
   =========| router  |==========| far       |       ===============| remote   |
            |10.0.2.50|          | 10.0.3.11 |                      | 10.0.4.2 |
            +---------+          +-----------+                      +----------+

What a forwarding mode asks of the backends (whom they answer through, whether they own the VIPs and
end tunnels) is a row of role.py; Topology.prepare_for(mode) makes it so.

To add a kind of node: one function in network.py that makes its namespace and links. To add a
server: one class beside backend.py, made of Program (process.py). Topology (topology.py) puts the
parts together and is where a test starts.
"""

from .process import Program
from .shell import CommandFailed, TimedOut, run, wait_until
from .sweep import sweep_leftovers
from .topology import Topology

__all__ = ["CommandFailed", "Program", "TimedOut", "Topology", "run", "sweep_leftovers",
           "wait_until"]
