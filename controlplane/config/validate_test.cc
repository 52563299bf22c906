// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/validate.h"

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <functional>

#include "controlplane/config/test_states.h"

namespace steelyard::controlplane {
namespace {

std::string Text(const std::vector<v1::Violation>& violations) {
  std::string text;
  for (const v1::Violation& violation : violations)
    text += violation.path() + ": " + violation.message() + '\n';
  return text;
}

// One way to spoil GoodState() and everything that must be said about it.
struct BadState {
  const char* what;
  std::function<void(v1::DesiredState&)> spoil;
  std::string violations;
};

void PrintTo(const BadState& bad, std::ostream* out) {
  *out << bad.what;
}

class Bad : public testing::TestWithParam<BadState> {};

TEST_P(Bad, IsNamedWithItsPath) {
  v1::DesiredState state = GoodState();
  GetParam().spoil(state);
  EXPECT_EQ(Text(Validate(state)), GetParam().violations);
}

using S = v1::DesiredState&;
v1::Service& Web(S state) {
  return *state.mutable_services(0);
}
v1::Backend& First(S state) {
  return *Web(state).mutable_backends(0);
}
v1::HealthCheck& Check(S state) {
  v1::HealthCheck& check = *Web(state).mutable_health_check();
  if (check.type() == v1::HealthCheck::TYPE_UNSPECIFIED) check.set_type(v1::HealthCheck::TYPE_HTTP);
  return check;
}
v1::ClientAddress& Client(S state) {
  return *Web(state).mutable_client_address();
}

v1::OutboundGateway& Office(S state) {
  return *state.mutable_outbound_gateways(0);
}
v1::OutboundGateway& AddGateway(S state, const char* outside) {
  v1::OutboundGateway& gateway = *state.add_outbound_gateways();
  gateway.set_name("guests");
  gateway.add_inside_prefixes("10.0.4.0/24");
  gateway.add_outside_addresses(outside);
  return gateway;
}

const std::string kName =
    "services[0].name: a name is at most 63 letters, digits, dots, underscores and dashes\n";
const std::string kHttpOnly = "belongs to type http\n";
const std::string kVisible = "only visible ASCII characters may stand here\n";

const BadState kBadStates[] = {
    {"name missing", [](S s) { Web(s).clear_name(); },
     "services[0].name: a service needs a name\n"},
    {"name with a space", [](S s) { Web(s).set_name("a b"); }, kName},
    {"name too long", [](S s) { Web(s).set_name(std::string(64, 'a')); }, kName},
    {"name twice", [](S s) { Web(s).set_name("web6"); },
     "services[1].name: \"web6\" is already the name of services[0]\n"},
    {"address of no form", [](S s) { Web(s).set_address("10.0.1"); },
     "services[0].address: '10.0.1' is not an IPv4 or IPv6 address\n"},
    {"address missing", [](S s) { First(s).clear_address(); },
     "services[0].backends[0].address: '' is not an IPv4 or IPv6 address\n"},
    {"multicast VIP", [](S s) { Web(s).set_address("224.0.0.1"); },
     "services[0].address: 224.0.0.1 is not a unicast address of a host\n"},
    {"link-local VIP", [](S s) { s.mutable_services(1)->set_address("fe80::1"); },
     "services[1].address: fe80::1 is link-local: without its link it says no place\n"},
    {"port 0", [](S s) { Web(s).set_port(0); }, "services[0].port: 0 is not within 1 to 65535\n"},
    {"port 70000", [](S s) { First(s).set_port(70000); },
     "services[0].backends[0].port: 70000 is not within 1 to 65535\n"},
    {"protocol missing", [](S s) { Web(s).clear_protocol(); },
     "services[0].protocol: must be one of icmp, tcp, udp\n"},
    {"unknown protocol", [](S s) { Web(s).set_protocol(static_cast<v1::Protocol>(132)); },
     "services[0].protocol: 132 is not one of icmp, tcp, udp\n"},
    {"unknown mode", [](S s) { Web(s).set_mode(static_cast<v1::ForwardingMode>(99)); },
     "services[0].mode: 99 is not one of full_nat, dnat, tunnel, direct\n"},
    {"unknown scheduler", [](S s) { Web(s).set_scheduler(static_cast<v1::Scheduler>(9)); },
     "services[0].scheduler: 9 is not one of weighted_round_robin, weighted_least_connections, "
     "maglev, round_robin, least_connections, source_hash\n"},
    {"more backends than one service may have",
     [](S s) {
       for (uint32_t i = 2; i <= 65535; ++i) {
         v1::Backend& backend = *Web(s).add_backends();
         backend.set_address("10.1.0.1");
         backend.set_port(i);
       }
     },
     "services[0].backends: 65536 are more than the 65535 that one service may have\n"},
    {"VIP and port twice",
     [](S s) {
       *s.add_services() = Web(s);
       s.mutable_services(2)->set_name("again");
     },
     "services[2].address: 10.0.1.10:80/tcp is already the place of services[0] (web)\n"},
    {"backend twice", [](S s) { Web(s).mutable_backends(1)->set_address("10.0.2.11"); },
     "services[0].backends[1].address: 10.0.2.11:80 is already backends[0] of this service\n"},
    {"dnat to a backend of the other family",
     [](S s) {
       Web(s).set_mode(v1::FORWARDING_MODE_DNAT);
       First(s).set_address("fd00:2::11");
     },
     "services[0].backends[0].address: fd00:2::11 is IPv6 and the service's address is IPv4\n"},
    {"full NAT to a backend of the other family, without a local address of it",
     [](S s) {
       Web(s).add_local_addresses("10.0.2.100");
       First(s).set_address("fd00:2::11");
     },
     "services[0].local_addresses: full_nat to IPv6 backends needs a local address of that "
     "family\n"},
    {"backend is the VIP", [](S s) { First(s).set_address("10.0.1.10"); },
     "services[0].backends[0].address: the service's own address cannot be its backend\n"},
    {"direct to another port",
     [](S s) {
       Web(s).set_mode(v1::FORWARDING_MODE_DIRECT);
       First(s).set_port(8080);
     },
     "services[0].backends[0].port: direct cannot change the port: it must be 80, the service's\n"},
    {"client address of a mode that shows the client",
     [](S s) {
       Web(s).set_mode(v1::FORWARDING_MODE_DNAT);
       Client(s).set_carrier(v1::ClientAddress::CARRIER_TOA);
     },
     "services[0].client_address.carrier: dnat shows backends the client itself: nothing to "
     "carry\n"},
    {"rate of new sessions where each packet needs one",
     [](S s) { Web(s).set_max_new_sessions_per_second(1000); },
     "services[0].max_new_sessions_per_second: belongs to modes tunnel and direct, which can "
     "forward without a session\n"},
    {"tunnel of another mode",
     [](S s) {
       Web(s).mutable_tunnel()->set_gue_port(6081);
       First(s).set_encapsulation(v1::Tunnel::ENCAPSULATION_GUE);
     },
     "services[0].tunnel: belongs to mode tunnel\n"
     "services[0].backends[0].encapsulation: belongs to mode tunnel\n"},
    {"tunnel with values out of range",
     [](S s) {
       Web(s).set_mode(v1::FORWARDING_MODE_TUNNEL);
       Web(s).mutable_tunnel()->set_gue_port(65536);
       Web(s).mutable_tunnel()->set_ttl(256);
       for (const char* prefix : {"10.0.2.64/26", "10.0.2.65/26", "10.0.3.0/24", "224.0.0.0/8"})
         Web(s).mutable_tunnel()->add_source_prefixes(prefix);
     },
     "services[0].tunnel.gue_port: 65536 is not within 1 to 65535\n"
     "services[0].tunnel.ttl: 256 is not within 1 to 255\n"
     "services[0].tunnel.source_prefixes[1]: '10.0.2.65/26' is not a prefix: bits behind its "
     "length are set\n"
     "services[0].tunnel.source_prefixes[2]: a second prefix of one family\n"
     "services[0].tunnel.source_prefixes[3]: 224.0.0.0/8 is no prefix of routed addresses of "
     "hosts\n"},
    {"tunnel to IPv6 backends without a source",
     [](S s) {
       Web(s).set_mode(v1::FORWARDING_MODE_TUNNEL);
       Web(s).add_local_addresses("10.0.2.100");
       First(s).set_address("fd00:2::11");
     },
     "services[0].local_addresses: tunnel to IPv6 backends needs a local address of that family\n"},
    {"weight too large", [](S s) { First(s).set_weight(65536); },
     "services[0].backends[0].weight: 65536 is not within 0 to 65535\n"},
    {"priority too large", [](S s) { First(s).set_priority(65536); },
     "services[0].backends[0].priority: 65536 is not within 0 to 65535\n"},
    {"unknown admin state", [](S s) { First(s).set_admin_state(static_cast<v1::AdminState>(7)); },
     "services[0].backends[0].admin_state: 7 is not one of enabled, draining, disabled\n"},
    {"no local address", [](S s) { s.clear_local_addresses(); },
     "services[0].local_addresses: full_nat to IPv4 backends needs a local address of that "
     "family\n"
     "services[1].local_addresses: full_nat to IPv6 backends needs a local address of that "
     "family\n"},
    {"own local addresses of the wrong family",
     [](S s) { Web(s).add_local_addresses("fd00:2::101"); },
     "services[0].local_addresses: full_nat to IPv4 backends needs a local address of that "
     "family\n"},
    {"local address twice", [](S s) { s.add_local_addresses("FD00:2:0::100"); },
     "local_addresses[2]: FD00:2:0::100 stands in this list twice\n"},
    {"local address of no form", [](S s) { s.add_local_addresses("10.0.2.0/24"); },
     "local_addresses[2]: '10.0.2.0/24' is not an IPv4 or IPv6 address\n"},
    {"VIP is a local address of a later service",
     [](S s) { s.mutable_services(1)->add_local_addresses("10.0.1.10"); },
     "services[1].local_addresses: full_nat to IPv6 backends needs a local address of that "
     "family\n"
     "services[0].address: 10.0.1.10 is a local address too\n"},
    {"toa over udp",
     [](S s) {
       Web(s).set_protocol(v1::PROTOCOL_UDP);
       Client(s).set_carrier(v1::ClientAddress::CARRIER_TOA);
     },
     "services[0].client_address.carrier: toa is a TCP option: a udp service cannot carry it\n"},
    {"on_syn without toa",
     [](S s) {
       Client(s).set_carrier(v1::ClientAddress::CARRIER_NONE);
       Client(s).set_toa_kind(254);
       Client(s).set_toa_on_syn(true);
     },
     "services[0].client_address.toa_on_syn: belongs to carrier toa\n"},
    {"on_syn with proxy_v2",
     [](S s) {
       Client(s).set_carrier(v1::ClientAddress::CARRIER_PROXY_V2);
       Client(s).set_toa_on_syn(true);
     },
     "services[0].client_address.toa_on_syn: belongs to carrier toa\n"},
    {"proxy_v2_udp over tcp",
     [](S s) {
       Client(s).set_carrier(v1::ClientAddress::CARRIER_PROXY_V2);
       Client(s).set_proxy_v2_udp(v1::ClientAddress::PROXY_V2_UDP_FIRST);
     },
     "services[0].client_address.proxy_v2_udp: belongs to carrier proxy_v2 of a udp service\n"},
    {"proxy_v2_udp without proxy_v2",
     [](S s) {
       Web(s).set_protocol(v1::PROTOCOL_UDP);
       Client(s).set_proxy_v2_udp(v1::ClientAddress::PROXY_V2_UDP_EVERY);
     },
     "services[0].client_address.proxy_v2_udp: belongs to carrier proxy_v2 of a udp service\n"},
    {"unknown proxy_v2_udp",
     [](S s) {
       Web(s).set_protocol(v1::PROTOCOL_UDP);
       Client(s).set_carrier(v1::ClientAddress::CARRIER_PROXY_V2);
       Client(s).set_proxy_v2_udp(static_cast<v1::ClientAddress::ProxyV2Udp>(9));
     },
     "services[0].client_address.proxy_v2_udp: 9 is not one of every, first\n"},
    {"kind of the timestamps", [](S s) { Client(s).set_toa_kind(8); },
     "services[0].client_address.toa_kind: 8 is the kind of an option that TCP itself uses\n"},
    {"kind of the MSS", [](S s) { Client(s).set_toa_kind(2); },
     "services[0].client_address.toa_kind: 2 is not within 6 to 255\n"},
    {"kind of two bytes", [](S s) { Client(s).set_toa_kind(256); },
     "services[0].client_address.toa_kind: 256 is not within 6 to 255\n"},
    {"timeout too short", [](S s) { Web(s).mutable_timeouts()->set_tcp_closed_ms(999); },
     "services[0].timeouts.tcp_closed: 999ms is not within 1s to 24h\n"},
    {"timeout too long", [](S s) { Web(s).mutable_timeouts()->set_tcp_established_ms(86'400'001); },
     "services[0].timeouts.tcp_established: 86400001ms is not within 1s to 24h\n"},
    {"persistence too short, of impossible prefixes",
     [](S s) {
       Web(s).mutable_persistence()->set_timeout_ms(999);
       Web(s).mutable_persistence()->set_ipv4_prefix_length(33);
       Web(s).mutable_persistence()->set_ipv6_prefix_length(129);
     },
     "services[0].persistence.timeout: 999ms is not within 1s to 24h\n"
     "services[0].persistence.ipv4_prefix_length: 33 is not within 1 to 32\n"
     "services[0].persistence.ipv6_prefix_length: 129 is not within 1 to 128\n"},
    {"health check without a type", [](S s) { Web(s).mutable_health_check()->set_rise(1); },
     "services[0].health_check.type: must be one of tcp, http\n"},
    {"timeout over interval",
     [](S s) {
       Check(s).set_interval_ms(1'000);
       Check(s).set_timeout_ms(1'500);
     },
     "services[0].health_check.timeout: 1500ms is longer than the interval, 1s\n"},
    {"interval too short", [](S s) { Check(s).set_interval_ms(99); },
     "services[0].health_check.interval: 99ms is not within 100ms to 1h\n"},
    {"rise and fall too large",
     [](S s) {
       Check(s).set_rise(101);
       Check(s).set_fall(101);
     },
     "services[0].health_check.rise: 101 is not within 1 to 100\n"
     "services[0].health_check.fall: 101 is not within 1 to 100\n"},
    {"path without a slash", [](S s) { Check(s).set_http_path("up"); },
     "services[0].health_check.http_path: must begin with a slash\n"},
    {"line end in the path", [](S s) { Check(s).set_http_path("/\r\nX: y"); },
     "services[0].health_check.http_path: " + kVisible},
    {"line end in the host", [](S s) { Check(s).set_http_host("a\nb"); },
     "services[0].health_check.http_host: " + kVisible},
    {"endless path", [](S s) { Check(s).set_http_path('/' + std::string(1024, 'x')); },
     "services[0].health_check.http_path: longer than 1024 characters\n"},
    {"status out of range", [](S s) { Check(s).set_http_expected_status(600); },
     "services[0].health_check.http_expected_status: 600 is not within 100 to 599\n"},
    {"port of the check", [](S s) { Check(s).set_port(65536); },
     "services[0].health_check.port: 65536 is not within 1 to 65535\n"},
    {"http in a tcp check",
     [](S s) {
       Check(s).set_type(v1::HealthCheck::TYPE_TCP);
       Check(s).set_http_path("/");
       Check(s).set_http_host("a");
       Check(s).set_http_expected_status(200);
     },
     "services[0].health_check.http_path: " + kHttpOnly + "services[0].health_check.http_host: " +
         kHttpOnly + "services[0].health_check.http_expected_status: " + kHttpOnly},
    {"service of icmp", [](S s) { Web(s).set_protocol(v1::PROTOCOL_ICMP); },
     "services[0].protocol: icmp belongs to outbound gateways\n"},
    {"service with a timeout of icmp", [](S s) { Web(s).mutable_timeouts()->set_icmp_ms(60'000); },
     "services[0].timeouts.icmp: belongs to outbound gateways\n"},
    {"gateway's name missing", [](S s) { Office(s).clear_name(); },
     "outbound_gateways[0].name: an outbound gateway needs a name\n"},
    {"gateway's name with a space", [](S s) { Office(s).set_name("a b"); },
     "outbound_gateways[0].name: a name is at most 63 letters, digits, dots, underscores and "
     "dashes\n"},
    {"gateway has a service's name", [](S s) { Office(s).set_name("web"); },
     "outbound_gateways[0].name: \"web\" is already the name of services[0]\n"},
    {"gateway's name twice", [](S s) { AddGateway(s, "10.0.1.54").set_name("office"); },
     "outbound_gateways[1].name: \"office\" is already the name of outbound_gateways[0]\n"},
    {"gateway without either side",
     [](S s) {
       Office(s).clear_inside_prefixes();
       Office(s).clear_outside_addresses();
     },
     "outbound_gateways[0].inside_prefixes: an outbound gateway needs an inside prefix\n"
     "outbound_gateways[0].outside_addresses: an outbound gateway needs an outside address\n"},
    {"inside prefixes of no form and twice",
     [](S s) {
       Office(s).add_inside_prefixes("10.0.3.1/24");
       Office(s).add_inside_prefixes("FD00:3:0::/64");
     },
     "outbound_gateways[0].inside_prefixes[2]: '10.0.3.1/24' is not a prefix: bits behind its "
     "length are set\n"
     "outbound_gateways[0].inside_prefixes[3]: FD00:3:0::/64 stands in this list twice\n"},
    {"destinations of no form and twice",
     [](S s) {
       for (const char* prefix : {"198.51.100.0/24", "everywhere", "198.51.100.0/24"})
         Office(s).add_destinations(prefix);
     },
     "outbound_gateways[0].destinations[1]: 'everywhere' is not an IPv4 or IPv6 address\n"
     "outbound_gateways[0].destinations[2]: 198.51.100.0/24 stands in this list twice\n"},
    {"outside addresses of no host and twice",
     [](S s) {
       Office(s).add_outside_addresses("224.0.0.1");
       Office(s).add_outside_addresses("fd00:1:0::53");
     },
     "outbound_gateways[0].outside_addresses[2]: 224.0.0.1 is not a unicast address of a host\n"
     "outbound_gateways[0].outside_addresses[3]: fd00:1:0::53 stands in this list twice\n"},
    {"outside address is a VIP", [](S s) { Office(s).add_outside_addresses("10.0.1.10"); },
     "outbound_gateways[0].outside_addresses[2]: 10.0.1.10 is the address of a service too\n"},
    {"outside address is a local address of the box",
     [](S s) { Office(s).add_outside_addresses("10.0.2.100"); },
     "outbound_gateways[0].outside_addresses[2]: 10.0.2.100 is a local address too\n"},
    {"outside address is a local address of a service",
     [](S s) {
       Web(s).add_local_addresses("10.0.2.101");
       Office(s).add_outside_addresses("10.0.2.101");
     },
     "outbound_gateways[0].outside_addresses[2]: 10.0.2.101 is a local address too\n"},
    {"outside address of two gateways", [](S s) { AddGateway(s, "10.0.1.53"); },
     "outbound_gateways[1].outside_addresses[0]: 10.0.1.53 is already an outside address of "
     "outbound_gateways[0] (office)\n"},
    {"outside address is inside", [](S s) { Office(s).add_outside_addresses("10.0.3.7"); },
     "outbound_gateways[0].outside_addresses[2]: 10.0.3.7 is in the inside prefix 10.0.3.0/24\n"},
    {"inside prefix without an outside address of its family",
     [](S s) { Office(s).mutable_outside_addresses()->RemoveLast(); },
     "outbound_gateways[0].outside_addresses: IPv6 inside prefixes need an outside address of that "
     "family\n"},
    {"outside address and destination without an inside prefix of their family",
     [](S s) {
       Office(s).mutable_inside_prefixes()->RemoveLast();
       Office(s).add_destinations("2001:db8::/32");
     },
     "outbound_gateways[0].outside_addresses[1]: fd00:1::53 is IPv6, and no inside prefix is\n"
     "outbound_gateways[0].destinations[0]: 2001:db8::/32 is IPv6, and no inside prefix is\n"},
    {"inside prefix that may be of the family of an outside address",
     [](S s) { *Office(s).mutable_inside_prefixes()->rbegin() = "fd00:3::/640"; },
     "outbound_gateways[0].inside_prefixes[1]: 'fd00:3::/640' is not a prefix: its length is out "
     "of range\n"},
    {"protocols unspecified, unknown and twice",
     [](S s) {
       for (const int protocol : {6, 0, 132, 6})
         Office(s).add_protocols(static_cast<v1::Protocol>(protocol));
     },
     "outbound_gateways[0].protocols[1]: must be one of icmp, tcp, udp\n"
     "outbound_gateways[0].protocols[2]: 132 is not one of icmp, tcp, udp\n"
     "outbound_gateways[0].protocols[3]: tcp stands in this list twice\n"},
    {"unknown mapping",
     [](S s) { Office(s).set_udp_mapping(static_cast<v1::OutboundGateway::UdpMapping>(3)); },
     "outbound_gateways[0].udp_mapping: 3 is not one of address_and_port_dependent, "
     "endpoint_independent\n"},
    {"gateway's timeouts out of range",
     [](S s) {
       Office(s).mutable_timeouts()->set_icmp_ms(999);
       Office(s).mutable_timeouts()->set_tcp_established_ms(86'400'001);
     },
     "outbound_gateways[0].timeouts.tcp_established: 86400001ms is not within 1s to 24h\n"
     "outbound_gateways[0].timeouts.icmp: 999ms is not within 1s to 24h\n"},
};

INSTANTIATE_TEST_SUITE_P(Validate, Bad, testing::ValuesIn(kBadStates));

TEST(Validate, AcceptsTheGoodState) {
  EXPECT_EQ(Text(Validate(GoodState())), "");
}

TEST(Validate, AcceptsNothing) {
  EXPECT_EQ(Text(Validate({})), "");
}

TEST(Validate, AServiceWithoutBackendsNeedsNoLocalAddress) {
  v1::DesiredState state = GoodState();
  state.clear_local_addresses();
  for (v1::Service& service : *state.mutable_services()) service.clear_backends();
  EXPECT_EQ(Text(Validate(state)), "");
}

TEST(Validate, OnePlaceMayServeBothProtocols) {
  v1::DesiredState state = GoodState();
  *state.add_services() = state.services(0);
  state.mutable_services(2)->set_name("web-udp");
  state.mutable_services(2)->set_protocol(v1::PROTOCOL_UDP);
  EXPECT_EQ(Text(Validate(state)), "");
}

TEST(Validate, LocalAddressesMustBeOnTheBox) {
  v1::DesiredState state = GoodState();
  state.mutable_services(0)->add_local_addresses("10.0.2.101");
  const net::IpAddress there = *net::ParseIpAddress("10.0.2.100");
  state.clear_outbound_gateways();
  const OnBox on_box{[&](const net::IpAddress& address) { return address == there; }, {}};
  EXPECT_EQ(Text(Validate(state, on_box)),
            "local_addresses[1]: fd00:2::100 is not an address of this box\n"
            "services[0].local_addresses[0]: 10.0.2.101 is not an address of this box\n");
}

TEST(Validate, OutsideAddressesMustBeOnTheBox) {
  v1::DesiredState state;
  *state.add_outbound_gateways() = GoodState().outbound_gateways(0);
  const net::IpAddress there = *net::ParseIpAddress("10.0.1.53");
  const OnBox on_box{[&](const net::IpAddress& address) { return address == there; }, {}};
  EXPECT_EQ(Text(Validate(state, on_box)),
            "outbound_gateways[0].outside_addresses[1]: fd00:1::53 is not an address of this "
            "box\n");
}

TEST(Validate, GatewaysMayForgetEarlierThanRfcsWant) {
  v1::DesiredState state = GoodState();
  v1::Timeouts& timeouts = *state.mutable_outbound_gateways(0)->mutable_timeouts();
  timeouts.set_tcp_established_ms(1'000);
  timeouts.set_icmp_ms(1'000);
  EXPECT_EQ(Text(Validate(state)), "");
}

TEST(Validate, DirectBackendsMustBeConnected) {
  v1::DesiredState state = GoodState();
  state.mutable_services(0)->set_mode(v1::FORWARDING_MODE_DIRECT);
  state.mutable_services(0)->mutable_backends(1)->set_address("10.0.3.11");
  EXPECT_EQ(Text(Validate(state)), "") << "the box is not known";
  const OnBox on_box{{}, [](const net::IpAddress& address) {
                       return net::ParsePrefix("10.0.2.0/24")->Contains(address);
                     }};
  EXPECT_EQ(Text(Validate(state, on_box)),
            "services[0].backends[1].address: 10.0.3.11 is not on a network that the box is "
            "connected to, where direct could reach it without changing packets\n");
}

TEST(Validate, OnlyFullNatNeedsLocalAddresses) {
  v1::DesiredState state = GoodState();
  state.clear_local_addresses();
  for (v1::Service& service : *state.mutable_services()) service.set_mode(v1::FORWARDING_MODE_DNAT);
  EXPECT_EQ(Text(Validate(state)), "");
}

TEST(Validate, ReportsEverythingAtOnce) {
  v1::DesiredState state = GoodState();
  for (const BadState& bad : kBadStates) bad.spoil(state);
  EXPECT_GT(Validate(state).size(), 15u);
}

// Any message that protobuf can hold, not only those that a file can say.
TEST(Validate, SurvivesAnyMessage) {
  const google::protobuf::LogSilencer silence_bad_utf8;
  RandomStates states(3);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = states.Next().SerializeAsString();
    for (uint32_t i = states.Below(6); i > 0; --i)
      bytes[states.Below(static_cast<uint32_t>(bytes.size()))] =
          static_cast<char>(states.Below(256));
    v1::DesiredState state;
    if (state.ParseFromString(bytes)) Validate(state);
  }
}

}  // namespace
}  // namespace steelyard::controlplane
