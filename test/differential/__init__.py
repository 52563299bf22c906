# SPDX-License-Identifier: Apache-2.0
"""Two NATs, fed the same frames, held against each other.

Boxes of the same addresses and MACs, each with raw packet sockets for its neighbours:

                        box "kernel": ip_forward and nftables
    raw socket ====== port0                              port1 ====== raw socket
    outside                                                           inside
    clients, servers    10.0.1.1                      10.0.2.1        backends, inside hosts
    198.18.0.0/15       fd00:1::1                    fd00:2::1        10.0.2.11, 10.8.0.0/16
    2001:db8::/32       VIP .10, outside address .100                 fd00:2::11, fd08::/16

bench.py         the boxes, and sending a batch through one of them
flow.py          one flow: what each side calls its two ends, on each box
frames.py        templates of packets with random headers, and damage to them
icmp_errors.py   errors about packets that arrived
dialogue.py      of what conversations are made
conversations.py what hosts and routers say: the table of tcp.py, datagrams.py and oddities.py
canonical.py     a captured frame with the translation's free choices taken out
comparison.py    arrivals against arrivals
run.py           many conversations side by side, step by step, through both boxes

To add traffic: a generator function in one of those three and a row in conversations.py.
"""
