// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/resolve.h"

#include <gtest/gtest.h>

#include "controlplane/config/test_states.h"
#include "controlplane/config/validate.h"

namespace steelyard::controlplane {
namespace {

v1::DesiredState AsDeclared(const ResolvedServices& resolved) {
  v1::DesiredState state;
  state.mutable_services()->Add(resolved.services.begin(), resolved.services.end());
  state.mutable_outbound_gateways()->Add(resolved.outbound_gateways.begin(),
                                         resolved.outbound_gateways.end());
  return state;
}

TEST(Resolve, TwiceIsOnce) {
  RandomStates states(1);
  for (int i = 0; i < 300; ++i) {
    v1::DesiredState state = states.Next();
    state = AsDeclared(ResolveServices(state));
    EXPECT_EQ(AsDeclared(ResolveServices(state)).DebugString(), state.DebugString());
  }
}

TEST(Resolve, ChangesNoVerdict) {
  RandomStates states(2);
  for (int i = 0; i < 300; ++i) {
    v1::DesiredState state = states.Next();
    const bool valid = Validate(state).empty();
    state = AsDeclared(ResolveServices(state));
    EXPECT_EQ(Validate(state).empty(), valid) << state.DebugString();
  }
}

TEST(Resolve, FillsInTheDefaults) {
  const v1::Service service = ResolveServices(GoodState()).services[0];
  EXPECT_EQ(service.mode(), v1::FORWARDING_MODE_FULL_NAT);
  EXPECT_EQ(service.scheduler(), v1::SCHEDULER_WEIGHTED_ROUND_ROBIN);
  EXPECT_EQ(service.client_address().carrier(), v1::ClientAddress::CARRIER_TOA);
  EXPECT_EQ(service.client_address().toa_kind(), 254u);
  EXPECT_EQ(service.timeouts().tcp_syn_sent_ms(), 5'000u);
  EXPECT_EQ(service.timeouts().tcp_syn_received_ms(), 10'000u);
  EXPECT_EQ(service.timeouts().tcp_established_ms(), 350'000u);
  EXPECT_EQ(service.timeouts().tcp_closing_ms(), 60'000u);
  EXPECT_EQ(service.timeouts().tcp_time_wait_ms(), 5'000u);
  EXPECT_EQ(service.timeouts().tcp_closed_ms(), 1'000u);
  EXPECT_EQ(service.timeouts().udp_ms(), 30'000u);
  EXPECT_EQ(service.backends(0).weight(), 1u);
  EXPECT_EQ(service.backends(0).admin_state(), v1::ADMIN_STATE_ENABLED);
  EXPECT_FALSE(service.has_health_check());
}

TEST(Resolve, PersistenceDefaults) {
  v1::DesiredState state = GoodState();
  EXPECT_FALSE(ResolveServices(state).services[0].has_persistence());
  state.mutable_services(0)->mutable_persistence();
  const v1::Persistence by_default = ResolveServices(state).services[0].persistence();
  EXPECT_EQ(by_default.timeout_ms(), 300'000u);
  EXPECT_EQ(by_default.ipv4_prefix_length(), 32u);
  EXPECT_EQ(by_default.ipv6_prefix_length(), 128u);
  state.mutable_services(0)->mutable_persistence()->set_ipv6_prefix_length(64);
  EXPECT_EQ(ResolveServices(state).services[0].persistence().ipv6_prefix_length(), 64u);
}

TEST(Resolve, UdpCarriesNoClientAddress) {
  v1::DesiredState state = GoodState();
  state.mutable_services(0)->set_protocol(v1::PROTOCOL_UDP);
  EXPECT_EQ(ResolveServices(state).services[0].client_address().carrier(),
            v1::ClientAddress::CARRIER_NONE);
  // Regression: the dataplane refused services without a kind, which were all that carry no
  // address.
  EXPECT_EQ(ResolveServices(state).services[0].client_address().toa_kind(), 254u);
}

TEST(Resolve, HeadersGoIntoEveryDatagram) {
  v1::DesiredState state = GoodState();
  v1::Service& service = *state.mutable_services(0);
  service.mutable_client_address()->set_carrier(v1::ClientAddress::CARRIER_PROXY_V2);
  const auto where = [&] {
    return ResolveServices(state).services[0].client_address().proxy_v2_udp();
  };
  EXPECT_EQ(where(), v1::ClientAddress::PROXY_V2_UDP_UNSPECIFIED) << "of no meaning over TCP";
  service.set_protocol(v1::PROTOCOL_UDP);
  EXPECT_EQ(where(), v1::ClientAddress::PROXY_V2_UDP_EVERY);
  service.mutable_client_address()->set_proxy_v2_udp(v1::ClientAddress::PROXY_V2_UDP_FIRST);
  EXPECT_EQ(where(), v1::ClientAddress::PROXY_V2_UDP_FIRST);
}

TEST(Resolve, KeepsWhatIsSaid) {
  v1::DesiredState state = GoodState();
  v1::Service& service = *state.mutable_services(0);
  service.mutable_backends(0)->set_weight(0);
  service.mutable_timeouts()->set_udp_ms(7'000);
  service.mutable_client_address()->set_carrier(v1::ClientAddress::CARRIER_NONE);
  const v1::Service resolved = ResolveServices(state).services[0];
  EXPECT_EQ(resolved.backends(0).weight(), 0u);
  EXPECT_EQ(resolved.timeouts().udp_ms(), 7'000u);
  EXPECT_EQ(resolved.client_address().carrier(), v1::ClientAddress::CARRIER_NONE);
}

TEST(Resolve, AServicesOwnLocalAddressesReplaceTheBoxs) {
  v1::DesiredState state = GoodState();
  EXPECT_EQ(ResolveServices(state).services[0].local_addresses_size(), 2);
  state.mutable_services(0)->add_local_addresses("10.0.2.200");
  const v1::Service resolved = ResolveServices(state).services[0];
  ASSERT_EQ(resolved.local_addresses_size(), 1);
  EXPECT_EQ(resolved.local_addresses(0), "10.0.2.200");
}

TEST(Resolve, HealthCheckDefaults) {
  v1::DesiredState state = GoodState();
  v1::HealthCheck& check = *state.mutable_services(0)->mutable_health_check();
  check.set_type(v1::HealthCheck::TYPE_HTTP);
  v1::HealthCheck resolved = ResolveServices(state).services[0].health_check();
  EXPECT_EQ(resolved.interval_ms(), 2'000u);
  EXPECT_EQ(resolved.timeout_ms(), 1'000u);
  EXPECT_EQ(resolved.rise(), 2u);
  EXPECT_EQ(resolved.fall(), 3u);
  EXPECT_EQ(resolved.http_path(), "/");
  check.set_interval_ms(300);
  EXPECT_EQ(ResolveServices(state).services[0].health_check().timeout_ms(), 300u);
  check.set_type(v1::HealthCheck::TYPE_TCP);
  EXPECT_EQ(ResolveServices(state).services[0].health_check().http_path(), "");
}

TEST(Resolve, SpellingsOfAnAddressAreOne) {
  v1::DesiredState state = GoodState();
  const std::string usual = ResolveServices(state).services[1].SerializeAsString();
  state.mutable_services(1)->set_address("FD00:0001:0::10");
  state.mutable_services(1)->mutable_backends(0)->set_address("fd00:2:0:0:0:0:0:11");
  EXPECT_EQ(ResolveServices(state).services[1].SerializeAsString(), usual);
}

TEST(Resolve, GatewaysKeepWhatHostsBehindANatMayRelyOn) {
  const v1::OutboundGateway gateway = ResolveServices(GoodState()).outbound_gateways[0];
  EXPECT_EQ(gateway.udp_mapping(), v1::OutboundGateway::UDP_MAPPING_ADDRESS_AND_PORT_DEPENDENT);
  EXPECT_EQ(gateway.protocols_size(), 3);
  constexpr uint64_t kMinuteMs = 60'000;
  EXPECT_EQ(gateway.timeouts().tcp_established_ms(), 124 * kMinuteMs);
  EXPECT_EQ(gateway.timeouts().tcp_syn_sent_ms(), 4 * kMinuteMs);
  EXPECT_EQ(gateway.timeouts().tcp_syn_received_ms(), 4 * kMinuteMs);
  EXPECT_EQ(gateway.timeouts().tcp_closing_ms(), 4 * kMinuteMs);
  EXPECT_EQ(gateway.timeouts().tcp_time_wait_ms(), 4 * kMinuteMs);
  EXPECT_EQ(gateway.timeouts().tcp_closed_ms(), 4 * kMinuteMs);
  EXPECT_EQ(gateway.timeouts().udp_ms(), 5 * kMinuteMs);
  EXPECT_EQ(gateway.timeouts().icmp_ms(), kMinuteMs);
}

TEST(Resolve, ServicesHaveNoTimeoutOfIcmp) {
  EXPECT_EQ(ResolveServices(GoodState()).services[0].timeouts().icmp_ms(), 0u);
}

TEST(Resolve, GatewaysKeepWhatIsSaid) {
  v1::DesiredState state = GoodState();
  v1::OutboundGateway& gateway = *state.mutable_outbound_gateways(0);
  gateway.add_protocols(v1::PROTOCOL_UDP);
  gateway.set_udp_mapping(v1::OutboundGateway::UDP_MAPPING_ENDPOINT_INDEPENDENT);
  gateway.mutable_timeouts()->set_icmp_ms(7'000);
  const v1::OutboundGateway resolved = ResolveServices(state).outbound_gateways[0];
  ASSERT_EQ(resolved.protocols_size(), 1);
  EXPECT_EQ(resolved.protocols(0), v1::PROTOCOL_UDP);
  EXPECT_EQ(resolved.udp_mapping(), v1::OutboundGateway::UDP_MAPPING_ENDPOINT_INDEPENDENT);
  EXPECT_EQ(resolved.timeouts().icmp_ms(), 7'000u);
}

TEST(Resolve, SpellingsOfAGatewaysAddressesAreOne) {
  v1::DesiredState state = GoodState();
  v1::OutboundGateway& gateway = *state.mutable_outbound_gateways(0);
  gateway.add_destinations("2001:db8::/32");
  const std::string usual = ResolveServices(state).outbound_gateways[0].SerializeAsString();
  gateway.set_inside_prefixes(1, "FD00:0003:0::/64");
  gateway.set_outside_addresses(1, "fd00:1:0::53");
  gateway.set_destinations(0, "2001:DB8:0::/32");
  EXPECT_EQ(ResolveServices(state).outbound_gateways[0].SerializeAsString(), usual);
}

}  // namespace
}  // namespace steelyard::controlplane
