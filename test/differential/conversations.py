# SPDX-License-Identifier: Apache-2.0
"""What hosts and routers say to each other through a box.

A conversation is a generator: it yields Steps and is resumed when both boxes have passed them on,
so that it can speak of what arrived. All of a conversation's packets carry one outside
address that no other conversation has.

To add one: a function of a Dialogue and a row in CONVERSATIONS: how many of it among the others.
"""

from .datagrams import (echo_exchange, fragments_in_two_steps, fragments_overlapping, udp_contended,
                        udp_exchange, udp_unasked)
from .oddities import martians, odd_packets, to_the_box
from .tcp import (tcp_connection, tcp_contended, tcp_impossible, tcp_out_of_place, tcp_refused,
                  tcp_reopened, tcp_without_session)

_FOR_BOTH = {
    tcp_connection: 12, tcp_refused: 2, tcp_reopened: 2, tcp_without_session: 2, tcp_impossible: 3,
    tcp_out_of_place: 3, udp_exchange: 10, fragments_in_two_steps: 1, fragments_overlapping: 1,
    udp_contended: 2, tcp_contended: 2, odd_packets: 12, martians: 1, to_the_box: 3,
}

CONVERSATIONS = {
    "dnat": {**_FOR_BOTH, udp_unasked: 1},
    "snat": {**_FOR_BOTH, echo_exchange: 4},
}
