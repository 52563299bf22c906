# SPDX-License-Identifier: Apache-2.0
"""The kernel's NAT and ours, fed the same frames, held against each other.

Two boxes of the same addresses and MACs, each with raw packet sockets for its neighbours:

                        box "kernel": ip_forward and nftables
    raw socket ====== port0                              port1 ====== raw socket
    outside                                                           inside
    clients, servers    10.0.1.1                      10.0.2.1        backends, inside hosts
    198.18.0.0/15       fd00:1::1                    fd00:2::1        10.0.2.11, 10.8.0.0/16
    2001:db8::/32       VIP .10, outside address .100                 fd00:2::11, fd08::/16

                        box "ours": both daemons, the same picture
    raw socket ====== port0 steel0                steel1 port1 ====== raw socket

bench.py         the boxes, and sending a batch through one of them
flow.py          one flow: what each side calls its two ends, on each box
frames.py        templates of packets with random headers, and damage to them
icmp_errors.py   errors about packets that arrived
dialogue.py      of what conversations are made
conversations.py what hosts and routers say: the table of tcp.py, datagrams.py and oddities.py
canonical.py     a captured frame with the translation's free choices taken out
comparison.py    arrivals against arrivals: the differences
expected.py      THE TABLE of differences that are no mistakes of ours
run.py           many conversations side by side, step by step, through both boxes

To add traffic: a generator function in one of those three and a row in conversations.py. A
difference that shows is a mistake of ours, or gets a row in expected.py that says why it is none.
"""
