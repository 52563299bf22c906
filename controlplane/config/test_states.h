// SPDX-License-Identifier: Apache-2.0
//
// Desired states for tests: one good one to break, and random ones (valid, unless by chance two
// services meet) for laws.
#pragma once

#include <random>
#include <string>

#include "model.pb.h"

namespace steelyard::controlplane {

inline v1::DesiredState GoodState() {
  v1::DesiredState state;
  state.add_local_addresses("10.0.2.100");
  state.add_local_addresses("fd00:2::100");
  for (const bool v6 : {false, true}) {
    v1::Service& service = *state.add_services();
    service.set_name(v6 ? "web6" : "web");
    service.set_address(v6 ? "fd00:1::10" : "10.0.1.10");
    service.set_port(80);
    service.set_protocol(v1::PROTOCOL_TCP);
    for (int i = 1; i <= 2; ++i) {
      v1::Backend& backend = *service.add_backends();
      backend.set_address((v6 ? "fd00:2::1" : "10.0.2.1") + std::to_string(i));
      backend.set_port(80);
    }
  }
  v1::OutboundGateway& gateway = *state.add_outbound_gateways();
  gateway.set_name("office");
  for (const char* prefix : {"10.0.3.0/24", "fd00:3::/64"}) gateway.add_inside_prefixes(prefix);
  for (const char* address : {"10.0.1.53", "fd00:1::53"}) gateway.add_outside_addresses(address);
  return state;
}

class RandomStates {
 public:
  explicit RandomStates(uint64_t seed) : random_(seed) {}

  v1::DesiredState Next() {
    v1::DesiredState state;
    for (uint32_t i = Below(3); i > 0; --i) state.add_local_addresses(Address(100 + i));
    for (uint32_t i = 1 + Below(4); i > 0; --i) FillService(i, *state.add_services());
    const uint32_t first = Below(2);
    for (uint32_t i = Below(3); i > 0; --i)
      FillOutboundGateway((first + i) % 2, *state.add_outbound_gateways());
    return state;
  }

  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  bool Chance() { return Below(2) == 0; }

 private:
  static std::string Address(uint32_t host) { return "10.0.2." + std::to_string(host); }

  void FillService(uint32_t number, v1::Service& service) {
    // Few names and values, so that two random states have things in common.
    service.set_name("s" + std::to_string(number));
    service.set_address("10.0.1." + std::to_string(number));
    service.set_port(80 + Below(2));
    service.set_protocol(Chance() ? v1::PROTOCOL_TCP : v1::PROTOCOL_UDP);
    if (Chance()) service.set_mode(v1::FORWARDING_MODE_FULL_NAT);
    if (Chance()) service.set_scheduler(static_cast<v1::Scheduler>(1 + Below(6)));
    if (Chance()) service.add_local_addresses(Address(200));
    if (Chance()) FillClientAddress(*service.mutable_client_address());
    if (Chance()) service.mutable_timeouts()->set_udp_ms(1000 * (1 + Below(3)));
    if (Chance()) service.mutable_timeouts()->set_tcp_established_ms(1500);
    if (Chance()) service.set_max_sessions(Below(3));
    if (Chance()) service.mutable_persistence()->set_timeout_ms(1000 * (1 + Below(3)));
    if (Chance()) FillHealthCheck(*service.mutable_health_check());
    for (uint32_t i = 1 + Below(3); i > 0; --i) FillBackend(i, *service.add_backends());
  }

  void FillClientAddress(v1::ClientAddress& client_address) {
    client_address.set_carrier(static_cast<v1::ClientAddress::Carrier>(1 + Below(3)));
    if (client_address.carrier() == v1::ClientAddress::CARRIER_PROXY_V2 && Chance())
      client_address.set_proxy_v2_udp(v1::ClientAddress::PROXY_V2_UDP_FIRST);
    if (client_address.carrier() != v1::ClientAddress::CARRIER_TOA) return;
    if (Chance()) client_address.set_toa_kind(253 + Below(2));
    if (Chance()) client_address.set_toa_on_syn(true);
  }

  void FillHealthCheck(v1::HealthCheck& check) {
    check.set_type(v1::HealthCheck::TYPE_HTTP);
    if (Chance()) check.set_interval_ms(2000);
    if (Chance()) check.set_timeout_ms(500);
    if (Chance()) check.set_rise(1 + Below(3));
    if (Chance()) check.set_port(8080);
    if (Chance()) check.set_http_path("/a \"quoted\" \\ path: #1, [2]");
    if (Chance()) check.set_http_host("null");
  }

  void FillOutboundGateway(uint32_t number, v1::OutboundGateway& gateway) {
    gateway.set_name("g" + std::to_string(number));
    gateway.add_inside_prefixes("10.0.3.0/24");
    gateway.add_outside_addresses("192.0.2." + std::to_string(1 + number));
    if (Chance()) gateway.add_destinations("198.51.100.0/24");
    if (Chance()) gateway.add_protocols(v1::PROTOCOL_UDP);
    if (Chance()) gateway.set_udp_mapping(v1::OutboundGateway::UDP_MAPPING_ENDPOINT_INDEPENDENT);
    if (Chance()) gateway.mutable_timeouts()->set_icmp_ms(1000 * (1 + Below(3)));
    if (Chance()) gateway.set_max_sessions(Below(3));
  }

  void FillBackend(uint32_t number, v1::Backend& backend) {
    backend.set_address(Address(number));
    backend.set_port(80);
    if (Chance()) backend.set_weight(Below(3));
    if (Chance()) backend.set_priority(Below(3));
    if (Chance()) backend.set_max_sessions(Below(3));
    if (Chance()) backend.set_admin_state(static_cast<v1::AdminState>(1 + Below(3)));
  }

  std::mt19937_64 random_;
};

}  // namespace steelyard::controlplane
