// SPDX-License-Identifier: Apache-2.0
//
// ForwardingMode: one row of the table of jobs that a balancer does. A mode opens sessions and
// rewrites their packets; everything else (finding the session, states, timers, counters, next hop,
// link layer) is the pipeline's and the same for all. Modes are stateless: one constant object
// each. What a flow's packets need beyond that, Open says in FlowFlags.
//
// To add one: a file in this folder with a class and its accessor, its rows in registry.cc and
// meson.build, and its row, with what it asks of a service, in proto/model.proto.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "core/session_table.h"
#include "core/snapshot.h"
#include "core/worker_state.h"
#include "net/parser.h"
#include "net/result.h"

namespace steelyard::core {

// What a worker has at hand while it works on a burst.
struct PacketContext {
  const Snapshot& snapshot;
  SessionTable& sessions;
  WorkerState& worker;
  PortId in_port;
  uint64_t now_ns;
  uint32_t now_ms;
  // While a session is being opened: its home (core/home.h). Ports that it borrows lead there.
  uint32_t home_bucket = 0;
};

class ForwardingMode {
 public:
  virtual ~ForwardingMode() = default;
  virtual std::string_view name() const = 0;  // as in YAML, CLI and API

  // Whether backends answer clients directly, so that only the clients' packets pass the box.
  virtual bool is_one_way() const { return false; }

  // Whether backends answer the clients' own addresses, through the box: then what is ours of a
  // backend's packets does not show in their destination.
  virtual bool is_gateway() const { return false; }

  // Whether packets leave with the TTL that they came with.
  virtual bool keeps_ttl() const { return false; }

  // Whether sessions of the service can go to the backend; asked when they are compiled.
  virtual net::Status Check(const Service& service, const Backend& backend) const = 0;

  // Opens a session for the client's packet (not touched yet) towards the chosen backend, or says
  // why not.
  using OpenOutcome = std::variant<SessionId, net::Verdict>;
  virtual OpenOutcome Open(const PacketContext& context, const Service& service,
                           const Backend& backend, const net::Packet& packet,
                           const net::ParsedPacket& parsed) const = 0;

  // Rewrites a packet of the flow in place, layer 3 and up, except for TTL. May grow it to the
  // front, in which case the offsets of `parsed` follow.
  virtual void Rewrite(const PacketContext& context, FlowRef flow, const NextHop& next_hop,
                       net::ParsedPacket& parsed, net::Packet& packet) const = 0;

  // Bytes that Rewrite is going to add to this packet of the flow, or to take away; asked where a
  // flag says that there may be any (kFlowResizes, kFlowProxyHeaderPending).
  virtual int AddedBytes(const PacketContext& context, FlowRef flow,
                         const net::ParsedPacket& parsed, const net::Packet& packet) const;

  // The most that Rewrite adds to a packet of the flow, as things stand: an MTU that is told to its
  // sender is that much smaller.
  virtual int MostAddedBytes(const SessionTable& sessions, FlowRef flow) const;

  // An ICMP error about a packet of the flow's other direction travels on with the flow. NAT modes
  // translate it and what it quotes. kForwarded, or why it does not.
  virtual net::Verdict RewriteIcmpError(const PacketContext& context, FlowRef flow,
                                        const NextHop& next_hop, net::ParsedPacket& parsed,
                                        net::Packet& packet) const;

  // Of one-way modes: the same for a packet that goes to the backend without a session. The bytes
  // that it adds are those of every packet to that backend.
  virtual void RewriteStateless(const PacketContext& context, const Service& service,
                                const Backend& backend, net::ParsedPacket& parsed,
                                net::Packet& packet) const;
  virtual uint16_t StatelessAddedBytes(const Backend& backend) const;

  // Whom the packets of the flow go to next, as far as layer 3 is concerned.
  virtual net::IpAddress Receiver(const SessionTable& sessions, FlowRef flow) const;

  uint8_t index() const;
};

// A mode's place in the table is kept in sessions: rows are only ever added at the end.
std::span<const ForwardingMode* const> ForwardingModes();
const ForwardingMode* FindForwardingMode(std::string_view name);

const ForwardingMode& FullNat();
const ForwardingMode& Dnat();
const ForwardingMode& Direct();
const ForwardingMode& Tunnel();
const ForwardingMode& Snat();  // of outbound gateways, not of services

}  // namespace steelyard::core
