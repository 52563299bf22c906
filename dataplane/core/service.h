// SPDX-License-Identifier: Apache-2.0
//
// Service: one service as the workers see it, compiled and immutable. A change of the service is a
// new object; services that did not change are shared by successive snapshots. Slots are small
// numbers that stand for a service or a backend wherever something mutable is kept beside it
// (counters, cursors, sessions); the compiler hands them out and does not reuse one while a session
// refers to it.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/scheduler/scheduler.h"
#include "core/session_share.h"
#include "core/tcp_state.h"
#include "net/address.h"

namespace steelyard::core {

class ForwardingMode;  // core/forward/forwarding_mode.h

using ServiceSlot = uint32_t;
using BackendSlot = uint32_t;
inline constexpr ServiceSlot kMaxServices = 1u << 16;
inline constexpr BackendSlot kMaxBackends = 1u << 18;
inline constexpr uint32_t kMaxBackendsPerService = 65535;

enum class Encapsulation : uint8_t { kIpip, kGue };

struct Backend {
  net::Endpoint endpoint;
  uint32_t weight = 0;  // as configured
  // Takes new sessions: enabled, healthy, of weight above 0, and of the first priority that has any
  // such backend.
  bool available = false;
  // Neither disabled nor down. A datagram flow moves away from a backend that does not (nothing
  // else would ever end it); a TCP connection is its endpoints' to end, and leaves only with a SYN
  // of a client that the backend, as far as is seen, has not answered.
  bool keeps_sessions = false;
  BackendSlot slot = 0;
  Encapsulation encapsulation = Encapsulation::kIpip;
  uint32_t max_sessions = kNoSessionLimit;
};

enum class ClientAddressCarrier : uint8_t { kNone, kToa, kProxyV2 };

// How the client's address travels to the backend.
struct ClientAddress {
  ClientAddressCarrier carrier = ClientAddressCarrier::kNone;
  bool toa_on_syn = false;
  // Options of this kind from outside are blanked whoever carries ours: a backend that believes our
  // local addresses must not be lied to through us.
  uint8_t toa_kind = 254;

  bool first_datagram_only = false;  // kProxyV2 over UDP; else in every datagram

  // Bytes of the option that carries an address of this family.
  static constexpr uint8_t ToaBytes(net::Family family) {
    return family == net::Family::kIpv4 ? 8 : 20;
  }
};

struct TunnelOptions {
  net::Be16 gue_port{6080};  // IANA's for GUE
  uint8_t ttl = 64;          // of outer headers
  // Outer sources are taken from the one of the backend's family; from the local addresses where
  // there is none.
  std::vector<net::Prefix> source_prefixes;
};

// Idle timeouts by TCP state; kNone's is UDP's.
using Timeouts = std::array<uint32_t, kTcpStateCount>;
inline constexpr Timeouts kDefaultTimeoutsMs = {30'000, 5'000,  10'000, 350'000, 60'000,
                                                60'000, 60'000, 5'000,  1'000};

// Addresses of the box that a service's packets leave with, by family.
struct LocalAddresses {
  std::vector<net::IpAddress> v4, v6;

  LocalAddresses() = default;
  LocalAddresses(std::initializer_list<net::IpAddress> addresses) {
    for (const net::IpAddress& address : addresses) Add(address);
  }
  void Add(const net::IpAddress& address) { (address.is_v4() ? v4 : v6).push_back(address); }
  std::span<const net::IpAddress> of(net::Family family) const {
    return family == net::Family::kIpv4 ? v4 : v6;
  }
  friend bool operator==(const LocalAddresses&, const LocalAddresses&) = default;
};

// A client's new sessions go where its last ones went (core/persistence.h); a client is a prefix of
// that length.
struct Persistence {
  bool enabled = false;
  uint8_t ipv4_prefix_length = 32;
  uint8_t ipv6_prefix_length = 128;
  friend bool operator==(const Persistence&, const Persistence&) = default;
};

struct Service {
  std::string name;
  net::Endpoint address;
  net::L4Protocol protocol = net::L4Protocol::kTcp;
  ServiceSlot slot = 0;
  const ForwardingMode* mode = nullptr;
  std::shared_ptr<const Scheduler> scheduler;
  // Of modes whose backends answer clients directly: Maglev, by which packets without a session go
  // on, the same on every worker and every box; null in other modes.
  std::shared_ptr<const Scheduler> stateless_scheduler;
  // Of those modes: the least time from one new session to the next in the long run, per worker; 0:
  // any. New flows beyond that go on without a session.
  uint64_t new_session_interval_ns = 0;
  LocalAddresses local_addresses;
  TunnelOptions tunnel;
  ClientAddress client_address;
  Timeouts timeouts_ms = kDefaultTimeoutsMs;
  uint32_t max_sessions = kNoSessionLimit;
  // SYNs are held to what both links carry. (Full NAT always does: its peers do not know each
  // other.)
  bool clamp_mss = false;
  Persistence persistence;
  // Of outbound gateways (core/outbound_gateway.h).
  uint32_t icmp_timeout_ms = 60'000;      // RFC 5508 REQ-2
  bool endpoint_independent_udp = false;  // core/endpoint_mapping.h
  uint32_t template_timeout_ms = 0;  // of SessionKind::kTemplate, from when the last child ended
  std::vector<Backend> backends;
};

}  // namespace steelyard::core
