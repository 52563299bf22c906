// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/resolve.h"

#include <gtest/gtest.h>

#include "controlplane/config/test_states.h"
#include "controlplane/config/validate.h"

namespace steelyard::controlplane {
namespace {

TEST(Resolve, TwiceIsOnce) {
  RandomStates states(1);
  for (int i = 0; i < 300; ++i) {
    v1::DesiredState state = states.Next();
    const std::vector<v1::Service> once = ResolveServices(state);
    *state.mutable_services() = {once.begin(), once.end()};
    const std::vector<v1::Service> twice = ResolveServices(state);
    for (size_t k = 0; k < once.size(); ++k)
      EXPECT_EQ(once[k].DebugString(), twice[k].DebugString());
  }
}

TEST(Resolve, ChangesNoVerdict) {
  RandomStates states(2);
  for (int i = 0; i < 300; ++i) {
    v1::DesiredState state = states.Next();
    const bool valid = Validate(state).empty();
    const std::vector<v1::Service> resolved = ResolveServices(state);
    *state.mutable_services() = {resolved.begin(), resolved.end()};
    EXPECT_EQ(Validate(state).empty(), valid) << state.DebugString();
  }
}

TEST(Resolve, FillsInTheDefaults) {
  const v1::Service service = ResolveServices(GoodState())[0];
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
  EXPECT_FALSE(ResolveServices(state)[0].has_persistence());
  state.mutable_services(0)->mutable_persistence();
  const v1::Persistence by_default = ResolveServices(state)[0].persistence();
  EXPECT_EQ(by_default.timeout_ms(), 300'000u);
  EXPECT_EQ(by_default.ipv4_prefix_length(), 32u);
  EXPECT_EQ(by_default.ipv6_prefix_length(), 128u);
  state.mutable_services(0)->mutable_persistence()->set_ipv6_prefix_length(64);
  EXPECT_EQ(ResolveServices(state)[0].persistence().ipv6_prefix_length(), 64u);
}

TEST(Resolve, UdpCarriesNoClientAddress) {
  v1::DesiredState state = GoodState();
  state.mutable_services(0)->set_protocol(v1::PROTOCOL_UDP);
  EXPECT_EQ(ResolveServices(state)[0].client_address().carrier(), v1::ClientAddress::CARRIER_NONE);
  // Regression: the dataplane refused services without a kind, which were all that carry no address.
  EXPECT_EQ(ResolveServices(state)[0].client_address().toa_kind(), 254u);
}

TEST(Resolve, HeadersGoIntoEveryDatagram) {
  v1::DesiredState state = GoodState();
  v1::Service& service = *state.mutable_services(0);
  service.mutable_client_address()->set_carrier(v1::ClientAddress::CARRIER_PROXY_V2);
  const auto where = [&] { return ResolveServices(state)[0].client_address().proxy_v2_udp(); };
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
  const v1::Service resolved = ResolveServices(state)[0];
  EXPECT_EQ(resolved.backends(0).weight(), 0u);
  EXPECT_EQ(resolved.timeouts().udp_ms(), 7'000u);
  EXPECT_EQ(resolved.client_address().carrier(), v1::ClientAddress::CARRIER_NONE);
}

TEST(Resolve, AServicesOwnLocalAddressesReplaceTheBoxs) {
  v1::DesiredState state = GoodState();
  EXPECT_EQ(ResolveServices(state)[0].local_addresses_size(), 2);
  state.mutable_services(0)->add_local_addresses("10.0.2.200");
  const v1::Service resolved = ResolveServices(state)[0];
  ASSERT_EQ(resolved.local_addresses_size(), 1);
  EXPECT_EQ(resolved.local_addresses(0), "10.0.2.200");
}

TEST(Resolve, HealthCheckDefaults) {
  v1::DesiredState state = GoodState();
  v1::HealthCheck& check = *state.mutable_services(0)->mutable_health_check();
  check.set_type(v1::HealthCheck::TYPE_HTTP);
  v1::HealthCheck resolved = ResolveServices(state)[0].health_check();
  EXPECT_EQ(resolved.interval_ms(), 2'000u);
  EXPECT_EQ(resolved.timeout_ms(), 1'000u);
  EXPECT_EQ(resolved.rise(), 2u);
  EXPECT_EQ(resolved.fall(), 3u);
  EXPECT_EQ(resolved.http_path(), "/");
  check.set_interval_ms(300);
  EXPECT_EQ(ResolveServices(state)[0].health_check().timeout_ms(), 300u);
  check.set_type(v1::HealthCheck::TYPE_TCP);
  EXPECT_EQ(ResolveServices(state)[0].health_check().http_path(), "");
}

TEST(Resolve, SpellingsOfAnAddressAreOne) {
  v1::DesiredState state = GoodState();
  const std::string usual = ResolveServices(state)[1].SerializeAsString();
  state.mutable_services(1)->set_address("FD00:0001:0::10");
  state.mutable_services(1)->mutable_backends(0)->set_address("fd00:2:0:0:0:0:0:11");
  EXPECT_EQ(ResolveServices(state)[1].SerializeAsString(), usual);
}

}  // namespace
}  // namespace steelyard::controlplane
