# SPDX-License-Identifier: Apache-2.0
"""The box of test/topology as a guest machine, with PCI ports that have receive-side scaling.

No other test reaches DPDK's PCI drivers, the IOMMU, or a NIC that hashes. The guest is qemu's,
under software emulation, with Debian's cloud kernel, a processor without AVX and an initramfs of
our programs; its ports are virtio-net, whose taps are on the bridges of the topology:

    client === front === tap === guest (0000:00:10.0 ... 0000:00:11.0) === tap === back === backends

GuestTopology is a Topology and its box a Box: scenarios cannot tell. It takes some 30,000 packets a
second; beyond that qemu 7.2's virtio-net stalls.

tunnel_end.py is a guest of another kind: a backend, for what only a kernel with modules can judge.

To add a program to the guest: guest_programs() in box.py; a kernel module: MODULES in initramfs.py.
"""

from .topology import GuestTopology

__all__ = ["GuestTopology"]
