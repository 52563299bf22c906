// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/declared_state.h"

#include <set>

#include "controlplane/config/bounds.h"

namespace steelyard::controlplane {
namespace {

const FieldTable<v1::Backend> kBackend = {
    {"address", kRequired, Text(&v1::Backend::mutable_address)},
    {"port", kRequired, Number(&v1::Backend::set_port, kPortRange)},
    {"weight", kOptional, Number(&v1::Backend::set_weight, kWeightRange)},
    {"admin_state", kOptional, Enum(&v1::Backend::set_admin_state)},
    {"encapsulation", kOptional, Enum(&v1::Backend::set_encapsulation)},
    {"priority", kOptional, Number(&v1::Backend::set_priority, kPriorityRange)},
    {"max_sessions", kOptional, Number(&v1::Backend::set_max_sessions, kMaxSessionsRange)},
};

const FieldTable<v1::ClientAddress> kClientAddress = {
    {"carrier", kOptional, Enum(&v1::ClientAddress::set_carrier)},
    {"toa_kind", kOptional, Number(&v1::ClientAddress::set_toa_kind, kToaKindRange)},
    {"toa_on_syn", kOptional, Bool(&v1::ClientAddress::set_toa_on_syn)},
    {"proxy_v2_udp", kOptional, Enum(&v1::ClientAddress::set_proxy_v2_udp)},
};

ReadValue<v1::Timeouts> IdleTimeout(void (v1::Timeouts::*set)(uint64_t)) {
  return Duration(set, kIdleTimeoutRangeMs);
}

const FieldTable<v1::Timeouts> kTimeouts = {
    {"tcp_syn_sent", kOptional, IdleTimeout(&v1::Timeouts::set_tcp_syn_sent_ms)},
    {"tcp_syn_received", kOptional, IdleTimeout(&v1::Timeouts::set_tcp_syn_received_ms)},
    {"tcp_established", kOptional, IdleTimeout(&v1::Timeouts::set_tcp_established_ms)},
    {"tcp_closing", kOptional, IdleTimeout(&v1::Timeouts::set_tcp_closing_ms)},
    {"tcp_time_wait", kOptional, IdleTimeout(&v1::Timeouts::set_tcp_time_wait_ms)},
    {"tcp_closed", kOptional, IdleTimeout(&v1::Timeouts::set_tcp_closed_ms)},
    {"udp", kOptional, IdleTimeout(&v1::Timeouts::set_udp_ms)},
    {"icmp", kOptional, IdleTimeout(&v1::Timeouts::set_icmp_ms)},
};

const FieldTable<v1::Persistence> kPersistence = {
    {"timeout", kOptional, Duration(&v1::Persistence::set_timeout_ms, kPersistenceTimeoutRangeMs)},
    {"ipv4_prefix_length", kOptional,
     Number(&v1::Persistence::set_ipv4_prefix_length, kIpv4PrefixLengthRange)},
    {"ipv6_prefix_length", kOptional,
     Number(&v1::Persistence::set_ipv6_prefix_length, kIpv6PrefixLengthRange)},
};

const FieldTable<v1::HealthCheck> kHealthCheck = {
    {"type", kRequired, Enum(&v1::HealthCheck::set_type)},
    {"interval", kOptional, Duration(&v1::HealthCheck::set_interval_ms, kHealthIntervalRangeMs)},
    {"timeout", kOptional, Duration(&v1::HealthCheck::set_timeout_ms, kHealthTimeoutRangeMs)},
    {"rise", kOptional, Number(&v1::HealthCheck::set_rise, kHealthThresholdRange)},
    {"fall", kOptional, Number(&v1::HealthCheck::set_fall, kHealthThresholdRange)},
    {"port", kOptional, Number(&v1::HealthCheck::set_port, kPortRange)},
    {"http_path", kOptional, Text(&v1::HealthCheck::mutable_http_path)},
    {"http_host", kOptional, Text(&v1::HealthCheck::mutable_http_host)},
    {"http_expected_status", kOptional,
     Number(&v1::HealthCheck::set_http_expected_status, kHttpStatusRange)},
};

const FieldTable<v1::Tunnel> kTunnel = {
    {"encapsulation", kOptional, Enum(&v1::Tunnel::set_encapsulation)},
    {"gue_port", kOptional, Number(&v1::Tunnel::set_gue_port, kPortRange)},
    {"ttl", kOptional, Number(&v1::Tunnel::set_ttl, kTtlRange)},
    {"source_prefixes", kOptional, TextList(&v1::Tunnel::mutable_source_prefixes)},
};

const FieldTable<v1::Service> kService = {
    {"name", kRequired, Text(&v1::Service::mutable_name)},
    {"address", kRequired, Text(&v1::Service::mutable_address)},
    {"port", kRequired, Number(&v1::Service::set_port, kPortRange)},
    {"protocol", kRequired, Enum(&v1::Service::set_protocol)},
    {"mode", kOptional, Enum(&v1::Service::set_mode)},
    {"scheduler", kOptional, Enum(&v1::Service::set_scheduler)},
    {"local_addresses", kOptional, TextList(&v1::Service::mutable_local_addresses)},
    {"client_address", kOptional, Nested(&v1::Service::mutable_client_address, kClientAddress)},
    {"timeouts", kOptional, Nested(&v1::Service::mutable_timeouts, kTimeouts)},
    {"health_check", kOptional, Nested(&v1::Service::mutable_health_check, kHealthCheck)},
    {"persistence", kOptional, Nested(&v1::Service::mutable_persistence, kPersistence)},
    {"max_sessions", kOptional, Number(&v1::Service::set_max_sessions, kMaxSessionsRange)},
    {"tunnel", kOptional, Nested(&v1::Service::mutable_tunnel, kTunnel)},
    {"max_new_sessions_per_second", kOptional,
     Number(&v1::Service::set_max_new_sessions_per_second, kNewSessionRateRange)},
    {"clamp_mss", kOptional, Bool(&v1::Service::set_clamp_mss)},
    {"backends", kRequired, NestedList(&v1::Service::mutable_backends, kBackend)},
};

const FieldTable<v1::OutboundGateway> kOutboundGateway = {
    {"name", kRequired, Text(&v1::OutboundGateway::mutable_name)},
    {"inside_prefixes", kRequired, TextList(&v1::OutboundGateway::mutable_inside_prefixes)},
    {"outside_addresses", kRequired, TextList(&v1::OutboundGateway::mutable_outside_addresses)},
    {"destinations", kOptional, TextList(&v1::OutboundGateway::mutable_destinations)},
    {"protocols", kOptional, EnumList(&v1::OutboundGateway::add_protocols)},
    {"udp_mapping", kOptional, Enum(&v1::OutboundGateway::set_udp_mapping)},
    {"timeouts", kOptional, Nested(&v1::OutboundGateway::mutable_timeouts, kTimeouts)},
    {"max_sessions", kOptional, Number(&v1::OutboundGateway::set_max_sessions, kMaxSessionsRange)},
};

// `services` is required so that a truncated file is not taken for "no services": that is `[]`.
const FieldTable<v1::DesiredState> kDesiredState = {
    {"local_addresses", kOptional, TextList(&v1::DesiredState::mutable_local_addresses)},
    {"services", kRequired, NestedList(&v1::DesiredState::mutable_services, kService)},
    {"outbound_gateways", kOptional,
     NestedList(&v1::DesiredState::mutable_outbound_gateways, kOutboundGateway)},
};

// The value at `path`, or one that it is part of or made of, could not be read.
bool IsUnread(const std::set<std::string, std::less<>>& faulty, std::string_view path) {
  for (; !path.empty(); path = ParentPath(path))
    if (faulty.contains(path)) return true;
  return false;
}

}  // namespace

DeclaredState ParseDeclaredState(const std::string& yaml) {
  DeclaredState declared;
  const YamlDocument document(yaml, declared.faults);
  if (document.root() == nullptr) return declared;
  const YamlValue root(document, declared);
  if (root.IsNothing())
    root.Fail("the file is empty; a state without services is written `services: []`");
  else
    ReadMessage(root, kDesiredState, declared.state);
  return declared;
}

DeclaredState ReadDeclaredState(const std::string& path) {
  const net::Result<std::string> content = ReadFile(path);
  if (content) return ParseDeclaredState(*content);
  DeclaredState declared;
  declared.faults.push_back({{}, "", content.error().message});
  return declared;
}

void ValidateDeclaredState(DeclaredState& declared, const OnBox& on_box) {
  std::set<std::string, std::less<>> faulty;
  for (const Fault& fault : declared.faults) {
    if (fault.path.empty()) return;
    faulty.insert(fault.path);
  }
  for (const v1::Violation& violation : Validate(declared.state, on_box)) {
    if (IsUnread(faulty, violation.path())) continue;
    declared.faults.push_back(
        {declared.source_map.Find(violation.path()), violation.path(), violation.message()});
  }
}

}  // namespace steelyard::controlplane
