// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/resolve.h"

#include <algorithm>
#include <type_traits>

#include "controlplane/config/bounds.h"
#include "controlplane/config/mode_rules.h"
#include "net/address.h"

namespace steelyard::controlplane {
namespace {

// For fields whose zero means "left out".
template <typename Message, typename Value>
void Default(Message& message, Value (Message::*get)() const, void (Message::*set)(Value),
             std::type_identity_t<Value> value) {
  if ((message.*get)() == Value{}) (message.*set)(value);
}

void Canonicalize(std::string& address) {
  if (const auto parsed = net::ParseIpAddress(address)) address = net::ToString(*parsed);
}

void CanonicalizePrefix(std::string& prefix) {
  if (const auto parsed = net::ParsePrefix(prefix)) prefix = net::ToString(*parsed);
}

void ResolveClientAddress(const v1::Service& service, v1::ClientAddress& message) {
  using M = v1::ClientAddress;
  const bool carried = RulesOf(service.mode()).carries_client_address();
  Default(message, &M::carrier, &M::set_carrier,
          carried && service.protocol() == v1::PROTOCOL_TCP ? M::CARRIER_TOA : M::CARRIER_NONE);
  // Without a carrier too: options of that kind from outside are blanked whoever adds ours.
  Default(message, &M::toa_kind, &M::set_toa_kind, kDefaultToaKind);
  if (message.carrier() == M::CARRIER_PROXY_V2 && service.protocol() == v1::PROTOCOL_UDP)
    Default(message, &M::proxy_v2_udp, &M::set_proxy_v2_udp, M::PROXY_V2_UDP_EVERY);
}

void ResolveTimeouts(v1::Timeouts& message) {
  using M = v1::Timeouts;
  Default(message, &M::tcp_syn_sent_ms, &M::set_tcp_syn_sent_ms, kDefaultTcpSynSentMs);
  Default(message, &M::tcp_syn_received_ms, &M::set_tcp_syn_received_ms, kDefaultTcpSynReceivedMs);
  Default(message, &M::tcp_established_ms, &M::set_tcp_established_ms, kDefaultTcpEstablishedMs);
  Default(message, &M::tcp_closing_ms, &M::set_tcp_closing_ms, kDefaultTcpClosingMs);
  Default(message, &M::tcp_time_wait_ms, &M::set_tcp_time_wait_ms, kDefaultTcpTimeWaitMs);
  Default(message, &M::tcp_closed_ms, &M::set_tcp_closed_ms, kDefaultTcpClosedMs);
  Default(message, &M::udp_ms, &M::set_udp_ms, kDefaultUdpMs);
}

void ResolveGatewayTimeouts(v1::Timeouts& message) {
  using M = v1::Timeouts;
  constexpr uint64_t kTransitoryMs = kDefaultGatewayTcpTransitoryMs;
  Default(message, &M::tcp_syn_sent_ms, &M::set_tcp_syn_sent_ms, kTransitoryMs);
  Default(message, &M::tcp_syn_received_ms, &M::set_tcp_syn_received_ms, kTransitoryMs);
  Default(message, &M::tcp_established_ms, &M::set_tcp_established_ms,
          kDefaultGatewayTcpEstablishedMs);
  Default(message, &M::tcp_closing_ms, &M::set_tcp_closing_ms, kTransitoryMs);
  Default(message, &M::tcp_time_wait_ms, &M::set_tcp_time_wait_ms, kTransitoryMs);
  Default(message, &M::tcp_closed_ms, &M::set_tcp_closed_ms, kTransitoryMs);
  Default(message, &M::udp_ms, &M::set_udp_ms, kDefaultGatewayUdpMs);
  Default(message, &M::icmp_ms, &M::set_icmp_ms, kDefaultGatewayIcmpMs);
}

void ResolvePersistence(v1::Persistence& message) {
  using M = v1::Persistence;
  Default(message, &M::timeout_ms, &M::set_timeout_ms, kDefaultPersistenceTimeoutMs);
  Default(message, &M::ipv4_prefix_length, &M::set_ipv4_prefix_length, kIpv4PrefixLengthRange.max);
  Default(message, &M::ipv6_prefix_length, &M::set_ipv6_prefix_length, kIpv6PrefixLengthRange.max);
}

void ResolveHealthCheck(v1::HealthCheck& message) {
  using M = v1::HealthCheck;
  Default(message, &M::interval_ms, &M::set_interval_ms, kDefaultHealthIntervalMs);
  Default(message, &M::timeout_ms, &M::set_timeout_ms,
          std::min(kDefaultHealthTimeoutMs, message.interval_ms()));
  Default(message, &M::rise, &M::set_rise, kDefaultHealthRise);
  Default(message, &M::fall, &M::set_fall, kDefaultHealthFall);
  if (message.type() == M::TYPE_HTTP && message.http_path().empty()) message.set_http_path("/");
}

void ResolveTunnel(v1::Tunnel& message) {
  using M = v1::Tunnel;
  Default(message, &M::encapsulation, &M::set_encapsulation, M::ENCAPSULATION_IPIP);
  Default(message, &M::gue_port, &M::set_gue_port, kDefaultGuePort);
  Default(message, &M::ttl, &M::set_ttl, kDefaultTunnelTtl);
}

void ResolveBackend(v1::Backend& message) {
  using M = v1::Backend;
  Canonicalize(*message.mutable_address());
  if (!message.has_weight()) message.set_weight(kDefaultWeight);
  Default(message, &M::admin_state, &M::set_admin_state, v1::ADMIN_STATE_ENABLED);
}

}  // namespace

v1::Service ResolveService(const v1::DesiredState& state, const v1::Service& service) {
  using M = v1::Service;
  v1::Service resolved = service;
  Canonicalize(*resolved.mutable_address());
  Default(resolved, &M::mode, &M::set_mode, v1::FORWARDING_MODE_FULL_NAT);
  Default(resolved, &M::scheduler, &M::set_scheduler, v1::SCHEDULER_WEIGHTED_ROUND_ROBIN);
  if (resolved.local_addresses().empty())
    *resolved.mutable_local_addresses() = state.local_addresses();
  for (std::string& address : *resolved.mutable_local_addresses()) Canonicalize(address);
  ResolveClientAddress(resolved, *resolved.mutable_client_address());
  ResolveTimeouts(*resolved.mutable_timeouts());
  if (resolved.has_persistence()) ResolvePersistence(*resolved.mutable_persistence());
  if (resolved.has_health_check()) ResolveHealthCheck(*resolved.mutable_health_check());
  for (v1::Backend& backend : *resolved.mutable_backends()) ResolveBackend(backend);
  if (!RulesOf(resolved.mode()).encapsulates()) return resolved;
  ResolveTunnel(*resolved.mutable_tunnel());
  for (v1::Backend& backend : *resolved.mutable_backends())
    Default(backend, &v1::Backend::encapsulation, &v1::Backend::set_encapsulation,
            resolved.tunnel().encapsulation());
  return resolved;
}

v1::OutboundGateway ResolveOutboundGateway(const v1::OutboundGateway& gateway) {
  using M = v1::OutboundGateway;
  v1::OutboundGateway resolved = gateway;
  for (std::string& prefix : *resolved.mutable_inside_prefixes()) CanonicalizePrefix(prefix);
  for (std::string& address : *resolved.mutable_outside_addresses()) Canonicalize(address);
  for (std::string& prefix : *resolved.mutable_destinations()) CanonicalizePrefix(prefix);
  if (resolved.protocols().empty())
    for (const v1::Protocol protocol : {v1::PROTOCOL_ICMP, v1::PROTOCOL_TCP, v1::PROTOCOL_UDP})
      resolved.add_protocols(protocol);
  Default(resolved, &M::udp_mapping, &M::set_udp_mapping,
          M::UDP_MAPPING_ADDRESS_AND_PORT_DEPENDENT);
  ResolveGatewayTimeouts(*resolved.mutable_timeouts());
  return resolved;
}

ResolvedServices ResolveServices(const v1::DesiredState& state) {
  ResolvedServices resolved;
  resolved.services.reserve(static_cast<size_t>(state.services_size()));
  for (const v1::Service& service : state.services())
    resolved.services.push_back(ResolveService(state, service));
  for (const v1::OutboundGateway& gateway : state.outbound_gateways())
    resolved.outbound_gateways.push_back(ResolveOutboundGateway(gateway));
  return resolved;
}

}  // namespace steelyard::controlplane
