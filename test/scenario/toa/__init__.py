# SPDX-License-Identifier: Apache-2.0
"""A backend host and, in the load balancer's place, a sender of hand-made TCP segments.

  load balancer's namespace            backend's namespace, own control group
  +--------------------------+        +-------------------------------------------+
  | no address: its kernel   |  veth  | 10.9.0.2, fd09::2                         |
  | answers nothing          |========| nginx, and a server that asks getpeername |
  | RawTcp speaks as .100 ...|        | steelyard-toa                             |
  +--------------------------+        +-------------------------------------------+
"""
