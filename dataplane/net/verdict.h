// SPDX-License-Identifier: Apache-2.0
//
// What became of a packet. Every packet received from a port, and every one that the box put
// together from fragments, gets exactly one verdict, counted once by its worker:
//
//   received + reassembled = forwarded + punted + consumed + the sum of all drops
//
// A fragment that is taken in for reassembly is consumed; a packet that leaves in fragments is one.
//
// To add a drop reason: one row here. It appears by itself in the counters, the metrics and the
// CLI.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace steelyard::net {

enum class Verdict : uint8_t {
  kForwarded,
  kPunted,
  kConsumed,
  kMalformedEthernet,
  kMalformedIpv4,
  kMalformedIpv6,
  kMalformedTcp,
  kMalformedUdp,
  kMalformedIcmp,
  kIcmpUntranslatable,
  kFragment,
  kFragmentInvalid,
  kFragmentLimit,
  kNoSession,
  kNoBackend,
  kSessionLimit,
  kSessionTableFull,
  kLocalPortsExhausted,
  kNoRoute,
  kNoNeighbour,
  kTtlExceeded,
  kPacketTooBig,
  kTransmitQueueFull,
  kPuntQueueFull,
  kHandoffQueueFull,
  kAwaitingConfiguration,
};

struct VerdictInfo {
  Verdict verdict;
  std::string_view name;
  bool is_drop;
  std::string_view help;
};

inline constexpr std::array kVerdicts = {
    VerdictInfo{Verdict::kForwarded, "forwarded", false, "Sent out of a port."},
    VerdictInfo{Verdict::kPunted, "punted", false, "Given to the kernel through the port's twin."},
    VerdictInfo{Verdict::kConsumed, "consumed", false,
                "Ended here: the box itself was its receiver, or a fragment taken in."},
    VerdictInfo{Verdict::kMalformedEthernet, "malformed_ethernet", true,
                "Shorter than its header."},
    VerdictInfo{Verdict::kMalformedIpv4, "malformed_ipv4", true,
                "Impossible IPv4 header: version, lengths, options or checksum."},
    VerdictInfo{Verdict::kMalformedIpv6, "malformed_ipv6", true,
                "Impossible IPv6 header or extension header chain."},
    VerdictInfo{Verdict::kMalformedTcp, "malformed_tcp", true,
                "TCP header cut short, impossible data offset or flags."},
    VerdictInfo{Verdict::kMalformedUdp, "malformed_udp", true,
                "UDP header cut short or wrong length."},
    VerdictInfo{
        Verdict::kMalformedIcmp, "malformed_icmp", true,
        "ICMP header cut short, or an error about a session of ours with a wrong checksum."},
    VerdictInfo{Verdict::kIcmpUntranslatable, "icmp_untranslatable", true,
                "ICMP error that has no counterpart in the other side's address family."},
    VerdictInfo{Verdict::kFragment, "fragment", true,
                "TCP or UDP fragment to one of our addresses, and reassembly is off."},
    VerdictInfo{Verdict::kFragmentInvalid, "fragment_invalid", true,
                "Fragment that is impossible, too long, or overlaps another of its datagram."},
    VerdictInfo{Verdict::kFragmentLimit, "fragment_limit", true,
                "Fragment of a new datagram, and too many are being put together already."},
    VerdictInfo{Verdict::kNoSession, "no_session", true,
                "TCP segment to a service that belongs to no session and opens none."},
    VerdictInfo{Verdict::kNoBackend, "no_backend", true,
                "No backend of the service takes new sessions."},
    VerdictInfo{Verdict::kSessionLimit, "session_limit", true,
                "New flow refused: its service or all of the backends are at their max_sessions."},
    VerdictInfo{Verdict::kSessionTableFull, "session_table_full", true,
                "New flow refused: no room for a session."},
    VerdictInfo{Verdict::kLocalPortsExhausted, "local_ports_exhausted", true,
                "New flow refused: no free local port towards the backend."},
    VerdictInfo{Verdict::kNoRoute, "no_route", true, "No route to the next receiver."},
    VerdictInfo{Verdict::kNoNeighbour, "no_neighbour", true,
                "The next hop's link-layer address is not known yet."},
    VerdictInfo{Verdict::kTtlExceeded, "ttl_exceeded", true, "TTL or hop limit ran out."},
    VerdictInfo{Verdict::kPacketTooBig, "packet_too_big", true,
                "Larger than the MTU of the way out."},
    VerdictInfo{Verdict::kTransmitQueueFull, "transmit_queue_full", true,
                "The port did not take it."},
    VerdictInfo{Verdict::kPuntQueueFull, "punt_queue_full", true,
                "The way to the kernel was full."},
    VerdictInfo{Verdict::kHandoffQueueFull, "handoff_queue_full", true,
                "Arrived at another worker than its session's, and the way there was full."},
    VerdictInfo{Verdict::kAwaitingConfiguration, "awaiting_configuration", true,
                "A flow's packet in the moment after a restart with sessions, before services were "
                "pushed."},
};

inline constexpr size_t kVerdictCount = kVerdicts.size();

constexpr const VerdictInfo& InfoOf(Verdict verdict) {
  return kVerdicts[static_cast<size_t>(verdict)];
}

static_assert(
    [] {
      for (size_t i = 0; i < kVerdictCount; ++i)
        if (kVerdicts[i].verdict != static_cast<Verdict>(i)) return false;
      return true;
    }(),
    "rows stand in the order of the enum");

}  // namespace steelyard::net
