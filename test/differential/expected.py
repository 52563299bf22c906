# SPDX-License-Identifier: Apache-2.0
"""THE TABLE of differences between the kernel's NAT and ours that are no mistakes of ours.

A run fails on a difference that no row explains, and on a row that explains none. At the end stand
the shortcomings of ours, which are mistakes: a row of theirs goes when it is mended.
"""

import dataclasses

from .comparison import outer_checksums_are_right

KERNEL_ONLY = "only the kernel's box lets it out"
OURS_ONLY = "only ours lets it out"

_DNAT4 = frozenset({("dnat", 4)})
_DNAT6 = frozenset({("dnat", 6)})
_DNAT = _DNAT4 | _DNAT6
_BOTH4 = _DNAT4 | {("snat", 4)}
_BOTH6 = _DNAT6 | {("snat", 6)}
_BOTH = _BOTH4 | _BOTH6


@dataclasses.dataclass(frozen=True)
class Expected:
    """tags: all of them are on the step. where: the (mode, family) of which every run meets it,
    unless it is a shortcoming: what ours should do and does not, explained for as long as it lasts.

    outcome: KERNEL_ONLY, OURS_ONLY, or of a packet that both let out the fields that may differ.
    """

    tags: str
    where: frozenset
    outcome: object
    reason: str
    is_shortcoming: bool = False

    @property
    def name(self):
        return f"{self.tags}: {self.outcome}"

    def explains(self, difference, mode, family):
        if (mode, family) not in self.where or not set(self.tags.split()) <= difference.step.tags:
            return False
        if difference.first is None or difference.second is None:
            return self.outcome == (KERNEL_ONLY if difference.first else OURS_ONLY)
        return (not isinstance(self.outcome, str) and difference.fields <= self.outcome
                and outer_checksums_are_right(difference.first)
                == outer_checksums_are_right(difference.second))


_UNTRANSLATED_ERROR = frozenset({
    "IP.src", "IP.chksum", "ICMP.chksum", "IP2.dst", "IP2.chksum", "TCP.dport", "TCP.chksum",
    "UDP.dport", "UDP.chksum"})
_OTHER_SOURCE = frozenset({
    "IP.src", "IP.chksum", "IPv6.src", "ICMPv6DestUnreach.cksum", "ICMPv6PacketTooBig.cksum",
    "ICMPv6TimeExceeded.cksum", "ICMPv6ParamProblem.cksum"})

EXPECTED = (
    # --- TCP ---
    Expected("out_of_place", _BOTH, OURS_ONLY,
             "The kernel drops a segment that fits none of its states of a connection. Ours "
             "follows a connection for its timeouts alone and leaves it to the host to answer, "
             "with a reset or a challenge ACK (RFC 9293 section 3.10.7)."),
    Expected("refused_again", _BOTH, OURS_ONLY,
             "The reset that answers a SYN ends the kernel's session at once, and a second one is "
             "invalid; ours keeps the session for the time of the state `closed`."),
    Expected("no_session from_inside", _BOTH, OURS_ONLY,
             "What comes from inside and belongs to no session is the kernel's to route, like "
             "anything that is not ours. The kernel's box has a rule against TCP of this kind; "
             "our dataplane has none, for a backend may speak to the world in its own name."),
    Expected("impossible_tcp options", _BOTH, KERNEL_ONLY,
             "The kernel's NAT does not look at the options of a segment; our parser drops a list "
             "of options that is none, because full NAT writes into it."),
    Expected("tcp_to_the_box", _BOTH, OURS_ONLY,
             "A segment out of the blue, to a port of the box that no service has: the kernel's "
             "box drops it as invalid before its own stack sees it. Ours is punted, and the stack "
             "answers with a reset (RFC 9293 section 3.10.7.1)."),
    # --- UDP over IPv6 without a checksum ---
    Expected("udp_without_checksum from_outside", _BOTH6, KERNEL_ONLY,
             "No service takes it (RFC 8200 section 8.1): punted, and the box's stack drops it."),
    Expected("udp_without_checksum from_inside", _BOTH6,
             frozenset({"IPv6.src", "UDP.sport"}),
             "Not ours for the same reason, so the box's kernel routes it as it is."),
    # --- ICMP errors ---
    Expected("error_source_quench error_from_inside", _BOTH4, _UNTRANSLATED_ERROR,
             "Source quench is no more (RFC 6633): not translated, the box's kernel routes it."),
    Expected("error_source_quench error_from_outside", _BOTH4, KERNEL_ONLY,
             "Source quench is no more (RFC 6633): punted, and the box's stack ignores it."),
    Expected("error_unknown_error error_from_inside", _BOTH6,
             frozenset({"IPv6.src", "Raw.load"}),
             "The kernel takes every ICMPv6 type below 128 to quote a packet behind 8 bytes. Ours "
             "translates the four errors that RFC 4443 defines; the box's kernel routes others."),
    Expected("error_unknown_error error_from_outside", _BOTH6, KERNEL_ONLY,
             "As above: punted, and the box's stack ignores it."),
    Expected("error_redirect error_from_inside", _BOTH4, OURS_ONLY,
             "The kernel's NAT drops redirects. To ours they are no errors; the box's kernel "
             "routes it, and no host believes one that is not from its gateway (RFC 1122 section "
             "3.2.2.2)."),
    Expected("error_quotes_nobody error_from_inside", _BOTH, OURS_ONLY,
             "An error about no session is the kernel's to route. The kernel's box has a rule "
             "against it (`ct state invalid drop`)."),
    Expected("error_quotes_little error_from_inside", _BOTH, OURS_ONLY,
             "Without 8 bytes of the quoted transport header (RFC 792) it is about no session: "
             "the same."),
    Expected("icmp_error error_from_outside lent_port", _DNAT, _OTHER_SOURCE,
             "Where the client's port is translated too, the kernel puts the client's address on "
             "an error about the backend's packet. Ours leaves the router's, which RFC 5508 "
             "section 4.2 does not have a NAT change: whoever traces the path sees who answered."),
    # --- headers ---
    Expected("option_record_route", _BOTH4, frozenset({"IP.options", "IP.chksum"}),
             "The kernel writes its address into record-route options. Ours forwards options as "
             "they are: a balancer is no hop that anybody asked for."),
    Expected("option_broken", _BOTH4, KERNEL_ONLY,
             "Dropped by both. The kernel answers with a parameter problem; ours says nothing to "
             "whoever sends what is no packet (RFC 1812 section 4.3.3.5 would have it do so)."),
    Expected("routing_type_0", _BOTH6, KERNEL_ONLY,
             "The kernel forwards a routing header of type 0 that is not addressed to itself. "
             "Ours drops it: a backend behind a VIP would be its waypoint (RFC 5095)."),
    Expected("martian", _DNAT4, KERNEL_ONLY,
             "The kernel has come to forward from 0.0.0.0/8. To ours it is `this network`, which "
             "is no source (RFC 1122 section 3.2.1.3): punted, and not answered."),
    Expected("martian", _DNAT6, KERNEL_ONLY,
             "The kernel forwards from IPv4-mapped addresses, although its own sockets take none. "
             "To ours no such address is a source on a wire "
             "(draft-itojun-v6ops-v4mapped-harmful)."),
    # --- the errors that the box itself sends ---
    *(Expected(tags, where, fields,
               "What the box itself says: the kernel copies type of service or makes up a flow "
               "label. Ours marks it as network control (RFC 1812 section 4.3.2.5), and forbids "
               "fragments.")
      for tags in ("ttl_0", "ttl_1", "full_size from_outside")
      for where, fields in ((_BOTH4, frozenset({"IP.tos", "IP.flags", "IP.chksum"})),
                            (_BOTH6, frozenset({"IPv6.tc", "IPv6.fl"})))),
    *(Expected(tags, _BOTH4, frozenset({"IP.id", "IP.chksum"}),
               "What ours cuts into fragments, or has put together of some, leaves with an "
               "identification of the box's own: behind full NAT many senders become one, and "
               "theirs would meet (RFC 6864).")
      for tags in ("fragments", "full_size from_outside")),
    *(Expected("fragments", _BOTH6, outcome,
               "Where a datagram's fragments do not fit the way out, the kernel tells the sender "
               "and ours cuts it again. An atomic fragment (RFC 6946) keeps its header in ours and "
               "loses it in the kernel's reassembly.")
      for outcome in (KERNEL_ONLY, OURS_ONLY)),
)
