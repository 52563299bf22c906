// SPDX-License-Identifier: Apache-2.0
#include "control/configuration.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "control/request_error.h"
#include "proto/fingerprint.h"

namespace steelyard::control {
namespace {

core::Snapshot OfPorts(size_t count) {
  return core::EmptySnapshot(std::vector<core::PortInfo>(count), core::SteeringOfOneWorker(), 0);
}

v1::Service MakeService(const std::string& name, const std::string& address, uint32_t port,
                        std::initializer_list<const char*> backends) {
  v1::Service service;
  service.set_name(name);
  service.set_address(address);
  service.set_port(port);
  service.set_protocol(v1::PROTOCOL_TCP);
  service.set_mode(v1::FORWARDING_MODE_FULL_NAT);
  service.set_scheduler(v1::SCHEDULER_WEIGHTED_ROUND_ROBIN);
  service.add_local_addresses("10.0.2.100");
  service.mutable_client_address()->set_carrier(v1::ClientAddress::CARRIER_TOA);
  service.mutable_client_address()->set_toa_kind(254);
  v1::Timeouts& timeouts = *service.mutable_timeouts();
  timeouts.set_tcp_syn_sent_ms(1);
  timeouts.set_tcp_syn_received_ms(2);
  timeouts.set_tcp_established_ms(3);
  timeouts.set_tcp_closing_ms(4);
  timeouts.set_tcp_time_wait_ms(5);
  timeouts.set_tcp_closed_ms(6);
  timeouts.set_udp_ms(7);
  for (const char* address_text : backends) {
    v1::Backend& backend = *service.add_backends();
    backend.set_address(address_text);
    backend.set_port(80);
    backend.set_weight(1);
    backend.set_admin_state(v1::ADMIN_STATE_ENABLED);
  }
  return service;
}

class ConfigurationTest : public testing::Test {
 protected:
  std::unique_ptr<const core::Snapshot> Replace(std::vector<v1::Service> services) {
    v1::ApplyServicesRequest request;
    request.set_generation(++generation_);
    request.set_replace(true);
    for (const v1::Service& service : services) *request.add_services() = service;
    return configuration_.Apply(request);
  }

  std::unique_ptr<const core::Snapshot> SetHealth(const std::string& service,
                                                  const std::string& address, v1::Health health) {
    v1::ApplyHealthRequest request;
    v1::BackendHealth& entry = *request.add_health();
    entry.set_service(service);
    entry.set_address(address);
    entry.set_port(80);
    entry.set_health(health);
    return configuration_.Apply(request);
  }

  static const core::Service* Find(const core::Snapshot& snapshot, const char* address) {
    return snapshot.FindService({*net::ParseIpAddress(address), net::Be16(80)},
                                net::L4Protocol::kTcp);
  }

  // The code of the refusal, with the guarantee that nothing changed.
  template <typename Request>
  std::string Refusal(const Request& request) {
    const uint64_t services = configuration_.services_fingerprint();
    const uint64_t network = configuration_.network_fingerprint();
    const uint64_t generation = configuration_.generation();
    try {
      configuration_.Apply(request);
    } catch (const RequestError& error) {
      EXPECT_EQ(configuration_.services_fingerprint(), services);
      EXPECT_EQ(configuration_.network_fingerprint(), network);
      EXPECT_EQ(configuration_.generation(), generation);
      return error.ToMessage().path();
    }
    return "accepted";
  }

  core::WorkerState worker_{1};
  Configuration configuration_{OfPorts(2), {&worker_}};
  uint64_t generation_ = 0;
};

TEST_F(ConfigurationTest, ServiceIsFoundByItsAddress) {
  const auto snapshot = Replace({MakeService("a", "10.0.1.1", 80, {"10.0.2.1", "10.0.2.2"}),
                                 MakeService("b", "10.0.1.2", 80, {"10.0.2.1"})});
  ASSERT_NE(Find(*snapshot, "10.0.1.1"), nullptr);
  EXPECT_EQ(Find(*snapshot, "10.0.1.1")->name, "a");
  EXPECT_EQ(Find(*snapshot, "10.0.1.2")->name, "b");
  EXPECT_EQ(Find(*snapshot, "10.0.1.3"), nullptr);
  EXPECT_TRUE(snapshot->own_addresses->contains(*net::ParseIpAddress("10.0.2.100")));
}

TEST_F(ConfigurationTest, TimeoutsReachTheirStates) {
  const auto snapshot = Replace({MakeService("a", "10.0.1.1", 80, {"10.0.2.1"})});
  const core::Timeouts& timeouts_ms = Find(*snapshot, "10.0.1.1")->timeouts_ms;
  const auto of = [&](core::TcpState state) { return timeouts_ms[static_cast<size_t>(state)]; };
  EXPECT_EQ(of(core::TcpState::kNone), 7u);
  EXPECT_EQ(of(core::TcpState::kSynSent), 1u);
  EXPECT_EQ(of(core::TcpState::kSynReceived), 2u);
  EXPECT_EQ(of(core::TcpState::kEstablished), 3u);
  EXPECT_EQ(of(core::TcpState::kClientFin), 4u);
  EXPECT_EQ(of(core::TcpState::kBackendFin), 4u);
  EXPECT_EQ(of(core::TcpState::kLastAck), 4u);
  EXPECT_EQ(of(core::TcpState::kTimeWait), 5u);
  EXPECT_EQ(of(core::TcpState::kClosed), 6u);
}

TEST_F(ConfigurationTest, CarrierOfTheClientAddress) {
  using M = v1::ClientAddress;
  v1::Service service = MakeService("a", "10.0.1.1", 80, {"10.0.2.1"});
  const auto compiled = [&](M::Carrier carrier, M::ProxyV2Udp proxy_v2_udp) {
    service.mutable_client_address()->set_carrier(carrier);
    service.mutable_client_address()->set_proxy_v2_udp(proxy_v2_udp);
    return Find(*Replace({service}), "10.0.1.1")->client_address;
  };
  EXPECT_EQ(compiled(M::CARRIER_NONE, {}).carrier, core::ClientAddressCarrier::kNone);
  EXPECT_EQ(compiled(M::CARRIER_TOA, {}).carrier, core::ClientAddressCarrier::kToa);
  EXPECT_EQ(compiled(M::CARRIER_PROXY_V2, {}).carrier, core::ClientAddressCarrier::kProxyV2);
  EXPECT_FALSE(compiled(M::CARRIER_PROXY_V2, M::PROXY_V2_UDP_EVERY).first_datagram_only);
  EXPECT_TRUE(compiled(M::CARRIER_PROXY_V2, M::PROXY_V2_UDP_FIRST).first_datagram_only);
  service.mutable_client_address()->set_carrier(static_cast<M::Carrier>(77));
  v1::ApplyServicesRequest request;
  request.set_generation(++generation_);
  request.set_replace(true);
  *request.add_services() = service;
  EXPECT_EQ(Refusal(request), "services[0].client_address.carrier");
}

TEST_F(ConfigurationTest, PersistenceIsCompiled) {
  v1::Service a = MakeService("a", "10.0.1.1", 80, {"10.0.2.1"});
  EXPECT_FALSE(Find(*Replace({a}), "10.0.1.1")->persistence.enabled);
  a.mutable_persistence()->set_timeout_ms(5000);
  a.mutable_persistence()->set_ipv4_prefix_length(24);
  a.mutable_persistence()->set_ipv6_prefix_length(56);
  const auto snapshot = Replace({a});
  const core::Service& compiled = *Find(*snapshot, "10.0.1.1");
  EXPECT_TRUE(compiled.persistence.enabled);
  EXPECT_EQ(compiled.persistence.ipv4_prefix_length, 24);
  EXPECT_EQ(compiled.persistence.ipv6_prefix_length, 56);
  EXPECT_EQ(compiled.template_timeout_ms, 5000u);
}

TEST_F(ConfigurationTest, FingerprintIsTheSumOfTheServices) {
  const v1::Service a = MakeService("a", "10.0.1.1", 80, {"10.0.2.1"});
  v1::Service b = MakeService("b", "10.0.1.2", 80, {"10.0.2.1"});
  Replace({a, b});
  EXPECT_EQ(configuration_.services_fingerprint(), proto::Fingerprint(a) + proto::Fingerprint(b));
  b.mutable_backends(0)->set_weight(7);
  Replace({b});
  EXPECT_EQ(configuration_.services_fingerprint(), proto::Fingerprint(b));
  Replace({});
  EXPECT_EQ(configuration_.services_fingerprint(), 0u);
}

TEST_F(ConfigurationTest, UnchangedServicesAreShared) {
  v1::Service a = MakeService("a", "10.0.1.1", 80, {"10.0.2.1"});
  const v1::Service b = MakeService("b", "10.0.1.2", 80, {"10.0.2.1"});
  const auto before = Replace({a, b});
  a.mutable_backends(0)->set_weight(5);
  v1::ApplyServicesRequest request;
  request.set_base_generation(generation_);
  request.set_generation(++generation_);
  *request.add_services() = a;
  const auto after = configuration_.Apply(request);
  EXPECT_NE(Find(*before, "10.0.1.1"), Find(*after, "10.0.1.1"));
  EXPECT_EQ(Find(*before, "10.0.1.2"), Find(*after, "10.0.1.2"));
  EXPECT_EQ(Find(*before, "10.0.1.1")->backends[0].slot,
            Find(*after, "10.0.1.1")->backends[0].slot);
}

// What a snapshot says over all services, without slots, which depend on the way there.
struct Overview {
  std::map<std::string, std::string> services;  // by address
  std::set<std::string> own_addresses, gateway_backends, backends_with_replies;
  friend bool operator==(const Overview&, const Overview&) = default;
};

Overview OverviewOf(const core::Snapshot& snapshot) {
  Overview overview;
  for (const auto& [key, slot] : *snapshot.index)
    overview.services[net::ToString(key.address.address)] = snapshot.services[slot]->name;
  for (const net::IpAddress& address : *snapshot.own_addresses)
    overview.own_addresses.insert(net::ToString(address));
  for (const net::IpAddress& address : *snapshot.gateway_backends)
    overview.gateway_backends.insert(net::ToString(address));
  for (const auto& [backend, replies] : snapshot.home_rules->replies)
    overview.backends_with_replies.insert(net::ToString(backend.address.address));
  return overview;
}

// One of a few services, in one of many shapes.
v1::Service SomeService(std::mt19937& random) {
  const std::string number = std::to_string(1 + random() % 4);
  v1::Service service = MakeService("service" + number, "10.0.1." + number, 80, {});
  if (random() % 3 == 0) {
    service.set_mode(v1::FORWARDING_MODE_DNAT);
    service.clear_local_addresses();
    service.clear_client_address();
    service.mutable_client_address()->set_carrier(v1::ClientAddress::CARRIER_NONE);
    service.mutable_client_address()->set_toa_kind(254);
  } else {
    service.set_local_addresses(0, "10.0.2." + std::to_string(100 + random() % 2));
  }
  for (uint64_t i = 1 + random() % 3; i > 0; --i) {
    const std::string address = "10.0.2." + number + std::to_string(i);
    const auto backend = MakeService("", "", 0, {address.c_str()}).backends(0);
    *service.add_backends() = backend;
    service.mutable_backends()->rbegin()->set_weight(static_cast<uint32_t>(1 + random() % 3));
  }
  return service;
}

TEST_F(ConfigurationTest, ChangesOneByOneAddUpToTheWhole) {
  std::mt19937 random(1);
  std::map<std::string, v1::Service> declared;
  for (int step = 0; step < 400; ++step) {
    v1::ApplyServicesRequest request;
    request.set_base_generation(generation_);
    request.set_generation(++generation_);
    const v1::Service service = SomeService(random);
    if (random() % 5 == 0 && declared.erase(service.name()) != 0)
      request.add_removed(service.name());
    else
      *request.add_services() = declared[service.name()] = service;
    const Overview changed = OverviewOf(*configuration_.Apply(request));

    v1::ApplyServicesRequest whole;
    whole.set_generation(1);
    whole.set_replace(true);
    for (const auto& [name, one] : declared) *whole.add_services() = one;
    Configuration fresh(OfPorts(2), {&worker_});
    ASSERT_EQ(changed, OverviewOf(*fresh.Apply(whole))) << "step " << step;
  }
}

// The law above does not see it: home rules also remember what was in force before.
TEST_F(ConfigurationTest, PersistenceAloneChangesTheHome) {
  v1::Service a = MakeService("a", "10.0.1.1", 80, {"10.0.2.1"});
  const auto by_client = [](const core::Snapshot& snapshot) {
    return snapshot.home_rules->services[Find(snapshot, "10.0.1.1")->slot].enabled;
  };
  EXPECT_FALSE(by_client(*Replace({a})));
  a.mutable_persistence()->set_timeout_ms(5000);
  a.mutable_persistence()->set_ipv4_prefix_length(24);
  a.mutable_persistence()->set_ipv6_prefix_length(56);
  EXPECT_TRUE(by_client(*Replace({a})));
}

TEST_F(ConfigurationTest, RemovingTheLastBackendEmptiesTheService) {
  Replace({MakeService("a", "10.0.1.1", 80, {"10.0.2.1"})});
  const auto snapshot = Replace({MakeService("a", "10.0.1.1", 80, {})});
  EXPECT_TRUE(Find(*snapshot, "10.0.1.1")->backends.empty());
}

TEST_F(ConfigurationTest, BadRequestsNameTheFieldAndChangeNothing) {
  Replace({MakeService("a", "10.0.1.1", 80, {"10.0.2.1"})});
  const auto refusal_of = [&](auto&& spoil) {
    v1::ApplyServicesRequest request;
    request.set_base_generation(generation_);
    request.set_generation(generation_ + 1);
    *request.add_services() = MakeService("good", "10.0.1.8", 80, {"10.0.2.9"});
    *request.add_services() = MakeService("bad", "10.0.1.9", 80, {"10.0.2.9"});
    spoil(*request.mutable_services(1));
    return Refusal(request);
  };
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.set_address("x"); }), "services[1].address");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.set_port(70000); }), "services[1].address");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.clear_protocol(); }), "services[1].protocol");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.clear_mode(); }), "services[1].mode");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.clear_scheduler(); }), "services[1].scheduler");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.clear_local_addresses(); }),
            "services[1].backends[0]");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.clear_timeouts(); }), "services[1].timeouts");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.mutable_backends(0)->set_address("2001:db8::1"); }),
            "services[1].backends[0]");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.mutable_persistence(); }),
            "services[1].persistence.timeout_ms");
  EXPECT_EQ(refusal_of([](v1::Service& s) {
              s.mutable_persistence()->set_timeout_ms(1);
              s.mutable_persistence()->set_ipv4_prefix_length(33);
            }),
            "services[1].persistence.ipv4_prefix_length");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.set_name("good"); }), "services[1].name");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.set_address("10.0.1.8"); }), "services");
  EXPECT_EQ(refusal_of([](v1::Service& s) { s.set_address("10.0.1.1"); }), "services");
  EXPECT_EQ(refusal_of([](v1::Service&) {}), "accepted");
}

TEST_F(ConfigurationTest, AddressMayMoveBetweenServicesInOneRequest) {
  Replace({MakeService("a", "10.0.1.1", 80, {"10.0.2.1"})});
  v1::ApplyServicesRequest request;
  request.set_base_generation(generation_);
  request.set_generation(++generation_);
  request.add_removed("a");
  *request.add_services() = MakeService("b", "10.0.1.1", 80, {"10.0.2.1"});
  EXPECT_EQ(Find(*configuration_.Apply(request), "10.0.1.1")->name, "b");
}

// Regression: a slot acquired under another spelling of the address was never released.
TEST_F(ConfigurationTest, ABackendIsTheSameHoweverItsAddressIsWritten) {
  v1::Service a = MakeService("a", "2001:db8::1", 80, {"2001:DB8:0::9"});
  a.set_local_addresses(0, "2001:db8::100");
  SetHealth("a", "2001:db8::9", v1::HEALTH_DOWN);
  const core::Backend first = Find(*Replace({a}), "2001:db8::1")->backends[0];
  EXPECT_FALSE(first.available);
  Replace({});
  a.mutable_backends(0)->set_address("2001:db8::9");
  EXPECT_EQ(Find(*Replace({a}), "2001:db8::1")->backends[0].slot, first.slot);
}

TEST_F(ConfigurationTest, WrongBaseIsAConflict) {
  Replace({});
  v1::ApplyServicesRequest request;
  request.set_base_generation(generation_ + 5);
  EXPECT_EQ(Refusal(request), "base_generation");
}

TEST_F(ConfigurationTest, HealthIsLaidOverTheServices) {
  const v1::Service a = MakeService("a", "10.0.1.1", 80, {"10.0.2.1", "10.0.2.2"});
  SetHealth("a", "10.0.2.1", v1::HEALTH_UNKNOWN);
  auto snapshot = Replace({a});
  EXPECT_FALSE(Find(*snapshot, "10.0.1.1")->backends[0].available);
  EXPECT_TRUE(Find(*snapshot, "10.0.1.1")->backends[1].available);
  snapshot = SetHealth("a", "10.0.2.1", v1::HEALTH_UP);
  EXPECT_TRUE(Find(*snapshot, "10.0.1.1")->backends[0].available);
  const uint32_t forwarding_generation = snapshot->forwarding_generation;
  snapshot = SetHealth("a", "10.0.2.1", v1::HEALTH_DOWN);
  EXPECT_FALSE(Find(*snapshot, "10.0.1.1")->backends[0].keeps_sessions);
  EXPECT_GT(snapshot->forwarding_generation, forwarding_generation);
  // It stays over the services when they change, and never becomes part of them.
  snapshot = Replace({a});
  EXPECT_FALSE(Find(*snapshot, "10.0.1.1")->backends[0].available);
  EXPECT_EQ(configuration_.services_fingerprint(), proto::Fingerprint(a));
  snapshot = SetHealth("a", "10.0.2.1", v1::HEALTH_UNSPECIFIED);
  EXPECT_TRUE(Find(*snapshot, "10.0.1.1")->backends[0].available);
  EXPECT_EQ(configuration_.health_fingerprint(), 0u);
}

TEST_F(ConfigurationTest, AdminStateAndWeightDecideWhoTakesSessions) {
  v1::Service a = MakeService("a", "10.0.1.1", 80, {"10.0.2.1", "10.0.2.2", "10.0.2.3"});
  a.mutable_backends(0)->set_admin_state(v1::ADMIN_STATE_DRAINING);
  a.mutable_backends(1)->set_admin_state(v1::ADMIN_STATE_DISABLED);
  a.mutable_backends(2)->set_weight(0);
  const auto snapshot = Replace({a});
  const auto& backends = Find(*snapshot, "10.0.1.1")->backends;
  for (const core::Backend& backend : backends) EXPECT_FALSE(backend.available);
  EXPECT_TRUE(backends[0].keeps_sessions);
  EXPECT_FALSE(backends[1].keeps_sessions);
  EXPECT_TRUE(backends[2].keeps_sessions);
}

// The backends that take new sessions, by their last digit.
std::string Available(const core::Service& service) {
  std::string available;
  for (const core::Backend& backend : service.backends)
    if (backend.available) available += net::ToString(backend.endpoint.address).back();
  return available;
}

TEST_F(ConfigurationTest, OnlyTheFirstPriorityWithAnAvailableBackendTakesSessions) {
  v1::Service a = MakeService("a", "10.0.1.1", 80,
                              {"10.0.2.1", "10.0.2.2", "10.0.2.3", "10.0.2.4", "10.0.2.5"});
  for (const auto& [backend, priority] : {std::pair{0, 7u}, {1, 0u}, {2, 7u}, {3, 0u}, {4, 9u}})
    a.mutable_backends(backend)->set_priority(priority);
  const auto available = [](const std::unique_ptr<const core::Snapshot>& snapshot) {
    return Available(*Find(*snapshot, "10.0.1.1"));
  };
  EXPECT_EQ(available(Replace({a})), "24");
  EXPECT_EQ(available(SetHealth("a", "10.0.2.2", v1::HEALTH_DOWN)), "4");
  EXPECT_EQ(available(SetHealth("a", "10.0.2.4", v1::HEALTH_DOWN)), "13");
  a.mutable_backends(0)->set_admin_state(v1::ADMIN_STATE_DRAINING);
  EXPECT_EQ(available(Replace({a})), "3");
  a.mutable_backends(2)->set_weight(0);
  auto snapshot = Replace({a});
  EXPECT_EQ(available(snapshot), "5");
  // Standing by is no reason to lose sessions.
  EXPECT_TRUE(Find(*snapshot, "10.0.1.1")->backends[0].keeps_sessions);
  EXPECT_EQ(available(SetHealth("a", "10.0.2.5", v1::HEALTH_UNKNOWN)), "");
  snapshot = SetHealth("a", "10.0.2.2", v1::HEALTH_UP);
  EXPECT_EQ(available(snapshot), "2");
  EXPECT_TRUE(Find(*snapshot, "10.0.1.1")->backends[2].keeps_sessions);
}

// A scheduler that has a table is compiled after the priorities.
TEST_F(ConfigurationTest, SchedulersChooseOfTheFirstPriority) {
  for (const v1::Scheduler scheduler :
       {v1::SCHEDULER_WEIGHTED_ROUND_ROBIN, v1::SCHEDULER_MAGLEV, v1::SCHEDULER_SOURCE_HASH,
        v1::SCHEDULER_ROUND_ROBIN, v1::SCHEDULER_LEAST_CONNECTIONS,
        v1::SCHEDULER_WEIGHTED_LEAST_CONNECTIONS}) {
    v1::Service a = MakeService("a", "10.0.1.1", 80, {"10.0.2.1", "10.0.2.2", "10.0.2.3"});
    a.set_scheduler(scheduler);
    a.mutable_backends(0)->set_priority(1);
    a.mutable_backends(2)->set_priority(2);
    const auto snapshot = Replace({a});
    const core::Service& service = *Find(*snapshot, "10.0.1.1");
    uint32_t cursor = 0;
    for (uint16_t port = 1; port < 50; ++port) {
      const net::Endpoint client{*net::ParseIpAddress("198.51.100.7"), net::Be16(port)};
      const net::FlowKey flow(client, service.address, net::L4Protocol::kTcp);
      EXPECT_EQ(service.scheduler->Choose(
                    {flow, service.backends, worker_.backends, worker_.backend_shares, cursor}),
                1u);
    }
  }
}

// They count against the limit of whoever holds the slot.
TEST_F(ConfigurationTest, AServicesSlotIsNotReusedWhileItsSessionsLive) {
  const v1::Service a = MakeService("a", "10.0.1.1", 80, {});
  const v1::Service b = MakeService("b", "10.0.1.2", 80, {});
  const core::ServiceSlot slot = Find(*Replace({a}), "10.0.1.1")->slot;
  worker_.services[slot].sessions_created.Add(1);
  worker_.services[slot].session_limit_packets.Add(5);
  EXPECT_EQ(configuration_.ServiceTotalsOf(slot).session_limit_packets, 5u);
  Replace({});
  EXPECT_NE(Find(*Replace({b}), "10.0.1.2")->slot, slot);
  EXPECT_EQ(Find(*Replace({a, b}), "10.0.1.1")->slot, slot);
  Replace({});
  worker_.services[slot].sessions_ended.Add(1);
  // Nobody counts what an earlier holder of the slot had refused.
  for (const char* name : {"c", "d", "e"}) {
    const auto snapshot = Replace({MakeService(name, "10.0.1.3", 80, {})});
    const core::ServiceSlot reused = Find(*snapshot, "10.0.1.3")->slot;
    EXPECT_EQ(configuration_.ServiceTotalsOf(reused).session_limit_packets, 0u);
  }
}

// --- outbound gateways -------------------------------------------------------------------------

v1::OutboundGateway MakeGateway(const std::string& name, const char* outside_address) {
  v1::OutboundGateway gateway;
  gateway.set_name(name);
  gateway.add_inside_prefixes("10.0.2.0/24");
  gateway.add_outside_addresses(outside_address);
  for (const v1::Protocol protocol : {v1::PROTOCOL_ICMP, v1::PROTOCOL_TCP, v1::PROTOCOL_UDP})
    gateway.add_protocols(protocol);
  gateway.set_udp_mapping(v1::OutboundGateway::UDP_MAPPING_ENDPOINT_INDEPENDENT);
  *gateway.mutable_timeouts() = MakeService("", "", 0, {}).timeouts();
  gateway.mutable_timeouts()->set_icmp_ms(8);
  gateway.set_max_sessions(9);
  return gateway;
}

class GatewayConfiguration : public ConfigurationTest {
 protected:
  v1::ApplyServicesRequest Request(const std::vector<v1::OutboundGateway>& gateways) {
    v1::ApplyServicesRequest request;
    request.set_generation(++generation_);
    request.set_replace(true);
    for (const v1::OutboundGateway& gateway : gateways) *request.add_outbound_gateways() = gateway;
    return request;
  }
  static const core::OutboundGateway* Of(const core::Snapshot& snapshot) {
    return snapshot.FindOutboundGateway({{*net::ParseIpAddress("10.0.2.11"), net::Be16(1)},
                                         {*net::ParseIpAddress("203.0.113.1"), net::Be16(2)},
                                         net::L4Protocol::kUdp},
                                        false);
  }
};

TEST_F(GatewayConfiguration, AGatewayIsCompiledWhole) {
  const auto snapshot = configuration_.Apply(Request({MakeGateway("office", "10.0.1.100")}));
  const core::OutboundGateway* gateway = Of(*snapshot);
  ASSERT_NE(gateway, nullptr);
  const core::Service& service = *gateway->service;
  EXPECT_EQ(service.name, "office");
  EXPECT_EQ(service.local_addresses.v4, std::vector{*net::ParseIpAddress("10.0.1.100")});
  EXPECT_EQ(service.icmp_timeout_ms, 8u);
  EXPECT_EQ(service.timeouts_ms[0], 7u);
  EXPECT_EQ(service.max_sessions, 9u);
  EXPECT_TRUE(service.endpoint_independent_udp);
  EXPECT_EQ(snapshot->service(service.slot), &service);
  EXPECT_TRUE(snapshot->outside_addresses->contains(*net::ParseIpAddress("10.0.1.100")));
  EXPECT_TRUE(snapshot->own_addresses->contains(*net::ParseIpAddress("10.0.1.100")));
  EXPECT_EQ(configuration_.FindSlot("office"), service.slot);
}

TEST_F(GatewayConfiguration, TheFirstThatMatchesHasTheFlow) {
  const auto a = MakeGateway("a", "10.0.1.100"), b = MakeGateway("b", "10.0.1.101");
  const auto before = configuration_.Apply(Request({a, b}));
  const uint64_t fingerprint = configuration_.services_fingerprint();
  EXPECT_EQ(Of(*before)->service->name, "a");
  const auto after = configuration_.Apply(Request({b, a}));
  EXPECT_EQ(Of(*after)->service->name, "b");
  EXPECT_NE(configuration_.services_fingerprint(), fingerprint) << "the order counts";
  EXPECT_EQ(fingerprint, proto::FingerprintAt(a, 0) + proto::FingerprintAt(b, 1));
}

TEST_F(GatewayConfiguration, OthersKeepTheirSlotsAndSessions) {
  const auto a = MakeGateway("a", "10.0.1.100"), b = MakeGateway("b", "10.0.1.101");
  const auto before = configuration_.Apply(Request({a, b}));
  const auto slot_of_b = before->outbound_gateways->back().service->slot;
  const auto after = configuration_.Apply(Request({b}));
  EXPECT_EQ(after->outbound_gateways->front().service, before->outbound_gateways->back().service);
  EXPECT_EQ(Of(*after)->service->slot, slot_of_b);
  EXPECT_FALSE(configuration_.FindSlot("a"));
  EXPECT_EQ(after->service(before->outbound_gateways->front().service->slot), nullptr);
}

TEST_F(GatewayConfiguration, WhatCannotBeCompiledChangesNothing) {
  const auto refusal = [&](auto&& spoil) {
    v1::OutboundGateway gateway = MakeGateway("office", "10.0.1.100");
    spoil(gateway);
    return Refusal(Request({gateway}));
  };
  EXPECT_EQ(refusal([](auto& gateway) { gateway.set_inside_prefixes(0, "10.0.2.0/33"); }),
            "outbound_gateways[0].inside_prefixes[0]");
  EXPECT_EQ(refusal([](auto& gateway) { gateway.set_outside_addresses(0, "outside"); }),
            "outbound_gateways[0].outside_addresses[0]");
  EXPECT_EQ(refusal([](auto& gateway) { gateway.clear_outside_addresses(); }),
            "outbound_gateways[0].outside_addresses");
  EXPECT_EQ(refusal([](auto& gateway) { gateway.add_destinations("x"); }),
            "outbound_gateways[0].destinations[0]");
  EXPECT_EQ(refusal([](auto& gateway) { gateway.add_protocols(v1::PROTOCOL_UNSPECIFIED); }),
            "outbound_gateways[0].protocols[3]");
  EXPECT_EQ(refusal([](auto& gateway) { gateway.mutable_timeouts()->set_icmp_ms(0); }),
            "outbound_gateways[0].timeouts.icmp_ms");
  EXPECT_EQ(refusal([](auto& gateway) { gateway.clear_name(); }), "outbound_gateways[0].name");
  EXPECT_EQ(Refusal(Request({MakeGateway("a", "10.0.1.100"), MakeGateway("a", "10.0.1.101")})),
            "outbound_gateways[1].name");
}

TEST_F(ConfigurationTest, NetworkIsAppliedWholeOrNotAtAll) {
  v1::ApplyNetworkRequest request;
  v1::Route& route = *request.add_routes();
  route.set_prefix("10.0.2.0/24");
  route.add_gateways()->set_port_id(1);
  v1::Neighbour& neighbour = *request.add_neighbours();
  neighbour.set_port_id(1);
  neighbour.set_address("10.0.2.1");
  neighbour.set_mac("02:00:00:00:00:01");
  const auto snapshot = configuration_.Apply(request);
  EXPECT_EQ(snapshot->network->Find(*net::ParseIpAddress("10.0.2.1"), 0).outcome,
            core::Network::Outcome::kFound);
  EXPECT_EQ(configuration_.network_fingerprint(),
            proto::Fingerprint(route) + proto::Fingerprint(neighbour));

  v1::ApplyNetworkRequest bad;
  bad.add_removed_routes("10.0.2.0/24");
  bad.add_routes()->set_prefix("10.0.3.0/24");
  bad.mutable_routes(0)->add_gateways()->set_port_id(2);
  EXPECT_EQ(Refusal(bad), "routes[0].gateways[0].port_id");
  bad.mutable_routes(0)->set_prefix("10.0.3.1/24");
  bad.mutable_routes(0)->mutable_gateways(0)->set_port_id(0);
  EXPECT_EQ(Refusal(bad), "routes[0].prefix");

  v1::ApplyNetworkRequest removal;
  *removal.add_removed_neighbours() = neighbour;
  EXPECT_EQ(
      configuration_.Apply(removal)->network->Find(*net::ParseIpAddress("10.0.2.1"), 0).outcome,
      core::Network::Outcome::kNoNeighbour);
  EXPECT_EQ(configuration_.network_fingerprint(), proto::Fingerprint(route));
}

TEST_F(ConfigurationTest, RoutesMtuBoundsItsNextHop) {
  v1::ApplyNetworkRequest request;
  for (const auto& [prefix, mtu] : {std::pair("10.0.2.0/24", 1300u),
                                    {"10.0.3.0/24", 0u},
                                    {"10.0.4.0/24", 70'000u},
                                    {"fd00:2::/64", 1200u}}) {
    v1::Route& route = *request.add_routes();
    route.set_prefix(prefix);
    route.set_mtu(mtu);
    route.add_gateways()->set_address("10.0.2.1");
  }
  v1::Neighbour& neighbour = *request.add_neighbours();
  neighbour.set_address("10.0.2.1");
  neighbour.set_mac("02:00:00:00:00:01");
  const auto network = configuration_.Apply(request)->network;
  const auto mtu = [&](const char* destination) {
    const auto lookup = network->Find(*net::ParseIpAddress(destination), 0);
    EXPECT_EQ(lookup.outcome, core::Network::Outcome::kFound);
    return network->next_hop(lookup.next_hop).mtu;
  };
  EXPECT_EQ(mtu("10.0.2.9"), 1300);
  EXPECT_EQ(mtu("10.0.3.9"), 1500);
  EXPECT_EQ(mtu("10.0.4.9"), 1500);
  EXPECT_EQ(mtu("fd00:2::9"), 1280) << "what every IPv6 link carries";
}

TEST_F(ConfigurationTest, BoxAddressesAreAppliedWholeOrNotAtAll) {
  v1::ApplyNetworkRequest request;
  v1::BoxAddress& on_port = *request.add_addresses();
  on_port.set_port_id(1);
  on_port.set_address("10.0.2.254");
  on_port.set_prefix_length(24);
  v1::BoxAddress& elsewhere = *request.add_addresses();
  elsewhere.set_address("10.0.2.254");
  elsewhere.set_prefix_length(32);
  const net::IpAddress address = *net::ParseIpAddress("10.0.2.254");
  auto network = configuration_.Apply(request)->network;
  EXPECT_TRUE(network->IsBoxAddress(address));
  ASSERT_EQ(network->AddressesOn(1, net::Family::kIpv4).size(), 1u);
  EXPECT_EQ(network->AddressesOn(1, net::Family::kIpv4)[0], address);
  EXPECT_EQ(configuration_.network_fingerprint(),
            proto::Fingerprint(on_port) + proto::Fingerprint(elsewhere));

  v1::ApplyNetworkRequest bad;
  *bad.add_removed_addresses() = on_port;
  *bad.add_addresses() = elsewhere;
  v1::BoxAddress& worse = *bad.add_addresses();
  worse.set_address("10.0.2.300");
  EXPECT_EQ(Refusal(bad), "addresses[1].address");
  worse.set_address("10.0.2.3");
  worse.set_prefix_length(33);
  EXPECT_EQ(Refusal(bad), "addresses[1].prefix_length");
  worse.set_port_id(2);
  EXPECT_EQ(Refusal(bad), "addresses[1].port_id");

  v1::ApplyNetworkRequest removal;
  *removal.add_removed_addresses() = on_port;
  removal.mutable_removed_addresses(0)->clear_prefix_length();
  network = configuration_.Apply(removal)->network;
  EXPECT_TRUE(network->AddressesOn(1, net::Family::kIpv4).empty());
  EXPECT_TRUE(network->IsBoxAddress(address)) << "another interface still has it";
  EXPECT_EQ(configuration_.network_fingerprint(), proto::Fingerprint(elsewhere));
}

TEST_F(ConfigurationTest, BackendThatComesBackFindsItsSlotAndSessions) {
  const v1::Service with = MakeService("a", "10.0.1.1", 80, {"10.0.2.1"});
  const v1::Service without = MakeService("a", "10.0.1.1", 80, {});
  const core::BackendSlot slot = Find(*Replace({with}), "10.0.1.1")->backends[0].slot;
  worker_.backends[slot].sessions_created.Add(1);
  Replace({without});
  EXPECT_EQ(Find(*Replace({with}), "10.0.1.1")->backends[0].slot, slot);
  EXPECT_EQ(configuration_.TotalsOf(slot).sessions_created, 1u);
}

}  // namespace
}  // namespace steelyard::control
