// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/validate.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "controlplane/config/bounds.h"
#include "controlplane/config/mode_rules.h"
#include "controlplane/config/resolve.h"
#include "controlplane/config/words.h"
#include "proto/convert.h"

namespace steelyard::controlplane {
namespace {

// MD5 signature, authentication, multipath and fast open (IANA's TCP option kinds; the first eight
// are below kToaKindRange, but for timestamps).
constexpr std::array<uint32_t, 5> kKindsOfTcp = {8, 19, 29, 30, 34};

const std::string kOfGateways = "belongs to outbound gateways";
const std::string kTwice = " stands in this list twice";

std::string Item(const std::string& list, int index) {
  return list + '[' + std::to_string(index) + ']';
}

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

std::string_view FamilyName(net::Family family) {
  return family == net::Family::kIpv4 ? "IPv4" : "IPv6";
}

bool IsLinkLocalIpv6(const net::IpAddress& address) {
  return !address.is_v4() && address.v6().bytes[0] == 0xfe &&
         (address.v6().bytes[1] & 0xc0) == 0x80;
}

class Validator {
 public:
  Validator(const v1::DesiredState& state, const OnBox& on_box) : state_(state), on_box_(on_box) {}

  std::vector<v1::Violation> Run() {
    CheckLocalAddresses("local_addresses", state_.local_addresses());
    for (int i = 0; i < state_.services_size(); ++i) CheckService(i);
    for (int i = 0; i < state_.services_size(); ++i) CheckVipIsNoLocalAddress(i);
    // After all that an outside address must not be is known.
    for (int i = 0; i < state_.outbound_gateways_size(); ++i) CheckOutboundGateway(i);
    return std::move(violations_);
  }

 private:
  using Addresses = google::protobuf::RepeatedPtrField<std::string>;

  void Add(std::string path, std::string message) {
    v1::Violation& violation = violations_.emplace_back();
    violation.set_path(std::move(path));
    violation.set_message(std::move(message));
  }

  void CheckService(int index) {
    const std::string path = Item("services", index);
    const v1::Service& service = state_.services(index);
    const v1::Service resolved = ResolveService(state_, service);
    CheckName(path, service.name(), "a service");
    CheckServiceProtocol(path + ".protocol", service.protocol());
    CheckEnum(path + ".mode", resolved.mode());
    CheckEnum(path + ".scheduler", resolved.scheduler());
    CheckVip(path, index);
    CheckLocalAddresses(path + ".local_addresses", service.local_addresses());
    CheckBackends(path, resolved);
    CheckLocalAddressFamilies(path, resolved);
    CheckTunnel(path, service, resolved);
    CheckNewSessionRate(path + ".max_new_sessions_per_second", resolved);
    CheckClientAddress(path + ".client_address", service, resolved);
    CheckTimeouts(path + ".timeouts", resolved.timeouts());
    if (resolved.timeouts().icmp_ms() != 0) Add(path + ".timeouts.icmp", kOfGateways);
    if (service.has_persistence()) CheckPersistence(path + ".persistence", resolved.persistence());
    if (service.has_health_check())
      CheckHealthCheck(path + ".health_check", resolved.health_check());
  }

  void CheckName(const std::string& path, const std::string& name, const std::string& owner) {
    if (name.empty()) return Add(path + ".name", owner + " needs a name");
    if (name.size() > kMaxNameLength || !std::all_of(name.begin(), name.end(), IsNameCharacter))
      return Add(path + ".name", "a name is at most " + std::to_string(kMaxNameLength) +
                                     " letters, digits, dots, underscores and dashes");
    const auto [first, added] = names_.emplace(name, path);
    if (!added) Add(path + ".name", '"' + name + "\" is already the name of " + first->second);
  }

  void CheckServiceProtocol(const std::string& path, v1::Protocol protocol) {
    if (protocol == v1::PROTOCOL_ICMP) return Add(path, "icmp " + kOfGateways);
    CheckEnum(path, protocol);
  }

  template <typename Word>
  void CheckEnum(const std::string& path, Word value) {
    const auto& type = *google::protobuf::GetEnumDescriptor<Word>();
    if (value != Word{} && type.FindValueByNumber(value) != nullptr) return;
    std::string choice;
    for (const std::string& word : EnumWords(type)) choice += (choice.empty() ? "" : ", ") + word;
    Add(path, (value == Word{} ? "must be one of " : WordOf(value) + " is not one of ") + choice);
  }

  bool CheckRange(const std::string& path, uint64_t value, Range range) {
    if (range.Contains(value)) return true;
    Add(path, std::to_string(value) + " is not within " + std::to_string(range.min) + " to " +
                  std::to_string(range.max));
    return false;
  }

  bool CheckDuration(const std::string& path, uint64_t duration_ms, Range range) {
    if (range.Contains(duration_ms)) return true;
    Add(path, DurationText(duration_ms) + " is not within " + DurationText(range.min) + " to " +
                  DurationText(range.max));
    return false;
  }

  std::optional<net::IpAddress> CheckHost(const std::string& path, const std::string& text) {
    const net::Result<net::IpAddress> address = net::ParseIpAddress(text);
    if (!address) {
      Add(path, address.error().message);
    } else if (!address->IsUnicastHost()) {
      Add(path, text + " is not a unicast address of a host");
    } else if (IsLinkLocalIpv6(*address)) {
      Add(path, text + " is link-local: without its link it says no place");
    } else {
      return *address;
    }
    return std::nullopt;
  }

  std::optional<net::Endpoint> CheckEndpoint(const std::string& path, const std::string& address,
                                             uint32_t port) {
    const std::optional<net::IpAddress> host = CheckHost(path + ".address", address);
    if (!CheckRange(path + ".port", port, kPortRange) || !host) return std::nullopt;
    return net::Endpoint{*host, net::Be16(static_cast<uint16_t>(port))};
  }

  void CheckVip(const std::string& path, int index) {
    const v1::Service& service = state_.services(index);
    const auto vip = CheckEndpoint(path, service.address(), service.port());
    if (vip) vip_addresses_.insert(vip->address);
    if (!vip || service.protocol() == v1::PROTOCOL_UNSPECIFIED) return;
    const auto [first, added] = vips_.emplace(std::tuple(*vip, service.protocol()), index);
    if (added) return;
    Add(path + ".address", net::ToString(*vip) + '/' + WordOf(service.protocol()) +
                               " is already the place of " + Item("services", first->second) +
                               " (" + state_.services(first->second).name() + ')');
  }

  void CheckLocalAddresses(const std::string& path, const Addresses& texts) {
    std::set<net::IpAddress> seen;
    for (int i = 0; i < texts.size(); ++i) {
      const auto address = CheckHost(Item(path, i), texts[i]);
      if (!address) continue;
      local_addresses_.insert(*address);
      CheckListedAddress(Item(path, i), texts[i], *address, seen);
    }
  }

  // Once in its list, and on the box. False: it is said why not.
  bool CheckListedAddress(const std::string& path, const std::string& text,
                          const net::IpAddress& address, std::set<net::IpAddress>& seen) {
    if (!seen.insert(address).second)
      Add(path, text + kTwice);
    else if (on_box_.has_address && !on_box_.has_address(address))
      Add(path, text + " is not an address of this box");
    else
      return true;
    return false;
  }

  // After every list of local addresses has been read.
  void CheckVipIsNoLocalAddress(int index) {
    const std::string& text = state_.services(index).address();
    const net::Result<net::IpAddress> vip = net::ParseIpAddress(text);
    if (vip && local_addresses_.contains(*vip))
      Add(Item("services", index) + ".address", text + " is a local address too");
  }

  void CheckBackends(const std::string& service_path, const v1::Service& service) {
    const net::Result<net::IpAddress> vip = net::ParseIpAddress(service.address());
    if (service.backends_size() > kMaxBackendsPerService)
      Add(service_path + ".backends",
          std::to_string(service.backends_size()) + " are more than the " +
              std::to_string(kMaxBackendsPerService) + " that one service may have");
    std::map<net::Endpoint, int> seen;
    for (int i = 0; i < service.backends_size(); ++i) {
      const std::string path = Item(service_path + ".backends", i);
      const v1::Backend& backend = service.backends(i);
      if (backend.has_weight()) CheckRange(path + ".weight", backend.weight(), kWeightRange);
      CheckRange(path + ".priority", backend.priority(), kPriorityRange);
      if (backend.admin_state() != v1::ADMIN_STATE_UNSPECIFIED)
        CheckEnum(path + ".admin_state", backend.admin_state());
      const auto endpoint = CheckEndpoint(path, backend.address(), backend.port());
      if (!endpoint) continue;
      const auto [first, added] = seen.emplace(*endpoint, i);
      if (!added)
        Add(path + ".address", net::ToString(*endpoint) + " is already backends[" +
                                   std::to_string(first->second) + "] of this service");
      if (vip) CheckBackendAgainstVip(path + ".address", service.mode(), endpoint->address, *vip);
      CheckBackendAgainstMode(path, service, *endpoint);
    }
  }

  void CheckBackendAgainstVip(const std::string& path, v1::ForwardingMode mode,
                              const net::IpAddress& backend, const net::IpAddress& vip) {
    if (backend == vip) return Add(path, "the service's own address cannot be its backend");
    if (!RulesOf(mode).keeps_family() || backend.family() == vip.family()) return;
    Add(path, net::ToString(backend) + " is " + std::string(FamilyName(backend.family())) +
                  " and the service's address is " + std::string(FamilyName(vip.family())));
  }

  void CheckBackendAgainstMode(const std::string& path, const v1::Service& service,
                               const net::Endpoint& backend) {
    const v1::ModeRules& rules = RulesOf(service.mode());
    if (rules.keeps_port() && backend.port.value() != service.port())
      Add(path + ".port", WordOf(service.mode()) + " cannot change the port: it must be " +
                              std::to_string(service.port()) + ", the service's");
    if (rules.needs_connected_backends() && on_box_.is_connected &&
        !on_box_.is_connected(backend.address))
      Add(path + ".address", net::ToString(backend.address) +
                                 " is not on a network that the box is " + "connected to, where " +
                                 WordOf(service.mode()) +
                                 " could reach it without changing packets");
  }

  // Whoever speaks to a backend from a local address needs one of the backend's family.
  void CheckLocalAddressFamilies(const std::string& path, const v1::Service& resolved) {
    if (!RulesOf(resolved.mode()).uses_local_addresses()) return;
    std::set<net::Family> present, needed;
    for (const std::string& text : resolved.tunnel().source_prefixes())
      if (const auto prefix = net::ParsePrefix(text)) present.insert(prefix->address.family());
    for (const std::string& text : resolved.local_addresses())
      if (const auto address = net::ParseIpAddress(text)) present.insert(address->family());
    for (const v1::Backend& backend : resolved.backends())
      if (const auto address = net::ParseIpAddress(backend.address()))
        needed.insert(address->family());
    for (const net::Family family : needed)
      if (!present.contains(family))
        Add(path + ".local_addresses", WordOf(resolved.mode()) + " to " +
                                           std::string(FamilyName(family)) +
                                           " backends needs a local address of that family");
  }

  void CheckTunnel(const std::string& path, const v1::Service& service,
                   const v1::Service& resolved) {
    const v1::ModeRules& rules = RulesOf(resolved.mode());
    const std::string message = "belongs to mode tunnel";
    if (!rules.encapsulates() && service.has_tunnel()) Add(path + ".tunnel", message);
    for (int i = 0; i < resolved.backends_size(); ++i) {
      const std::string backend_path = Item(path + ".backends", i) + ".encapsulation";
      const v1::Tunnel::Encapsulation encapsulation = resolved.backends(i).encapsulation();
      if (rules.encapsulates())
        CheckEnum(backend_path, encapsulation);
      else if (encapsulation != v1::Tunnel::ENCAPSULATION_UNSPECIFIED)
        Add(backend_path, message);
    }
    if (!rules.encapsulates()) return;
    CheckEnum(path + ".tunnel.encapsulation", resolved.tunnel().encapsulation());
    CheckRange(path + ".tunnel.gue_port", resolved.tunnel().gue_port(), kPortRange);
    CheckRange(path + ".tunnel.ttl", resolved.tunnel().ttl(), kTtlRange);
    CheckSourcePrefixes(path + ".tunnel.source_prefixes", resolved.tunnel().source_prefixes());
  }

  void CheckNewSessionRate(const std::string& path, const v1::Service& resolved) {
    CheckRange(path, resolved.max_new_sessions_per_second(), kNewSessionRateRange);
    if (resolved.max_new_sessions_per_second() != 0 && !RulesOf(resolved.mode()).is_one_way())
      Add(path, "belongs to modes tunnel and direct, which can forward without a session");
  }

  void CheckSourcePrefixes(const std::string& path, const Addresses& texts) {
    std::set<net::Family> seen;
    for (int i = 0; i < texts.size(); ++i) {
      const net::Result<net::Prefix> prefix = net::ParsePrefix(texts[i]);
      if (!prefix)
        Add(Item(path, i), prefix.error().message);
      else if (!prefix->address.IsUnicastHost() || IsLinkLocalIpv6(prefix->address))
        Add(Item(path, i), texts[i] + " is no prefix of routed addresses of hosts");
      else if (!seen.insert(prefix->address.family()).second)
        Add(Item(path, i), "a second prefix of one family");
    }
  }

  void CheckClientAddress(const std::string& path, const v1::Service& service,
                          const v1::Service& resolved) {
    const v1::ClientAddress& declared = service.client_address();
    const v1::ClientAddress& effective = resolved.client_address();
    CheckEnum(path + ".carrier", effective.carrier());
    if (!RulesOf(resolved.mode()).carries_client_address() &&
        effective.carrier() != v1::ClientAddress::CARRIER_NONE)
      return Add(path + ".carrier",
                 WordOf(resolved.mode()) + " shows backends the client itself: nothing to carry");
    const bool toa = effective.carrier() == v1::ClientAddress::CARRIER_TOA;
    if (toa && service.protocol() == v1::PROTOCOL_UDP)
      Add(path + ".carrier", "toa is a TCP option: a udp service cannot carry it");
    CheckToaKind(path + ".toa_kind", effective.toa_kind());
    if (!toa && declared.toa_on_syn()) Add(path + ".toa_on_syn", "belongs to carrier toa");
    if (declared.proxy_v2_udp() == v1::ClientAddress::PROXY_V2_UDP_UNSPECIFIED) return;
    CheckEnum(path + ".proxy_v2_udp", declared.proxy_v2_udp());
    if (effective.carrier() != v1::ClientAddress::CARRIER_PROXY_V2 ||
        service.protocol() != v1::PROTOCOL_UDP)
      Add(path + ".proxy_v2_udp", "belongs to carrier proxy_v2 of a udp service");
  }

  void CheckToaKind(const std::string& path, uint32_t kind) {
    if (!CheckRange(path, kind, kToaKindRange)) return;
    if (std::find(kKindsOfTcp.begin(), kKindsOfTcp.end(), kind) != kKindsOfTcp.end())
      Add(path, std::to_string(kind) + " is the kind of an option that TCP itself uses");
  }

  void CheckTimeouts(const std::string& path, const v1::Timeouts& timeouts) {
    const auto& type = *v1::Timeouts::descriptor();
    const auto& reflection = *v1::Timeouts::GetReflection();
    for (int i = 0; i < type.field_count(); ++i) {
      const uint64_t timeout_ms = reflection.GetUInt64(timeouts, type.field(i));
      // After resolution only what a service does not have is 0.
      if (timeout_ms != 0)
        CheckDuration(path + '.' + FieldWord(*type.field(i)), timeout_ms, kIdleTimeoutRangeMs);
    }
  }

  void CheckPersistence(const std::string& path, const v1::Persistence& persistence) {
    CheckDuration(path + ".timeout", persistence.timeout_ms(), kPersistenceTimeoutRangeMs);
    CheckRange(path + ".ipv4_prefix_length", persistence.ipv4_prefix_length(),
               kIpv4PrefixLengthRange);
    CheckRange(path + ".ipv6_prefix_length", persistence.ipv6_prefix_length(),
               kIpv6PrefixLengthRange);
  }

  void CheckHealthCheck(const std::string& path, const v1::HealthCheck& check) {
    CheckEnum(path + ".type", check.type());
    const bool interval_ok =
        CheckDuration(path + ".interval", check.interval_ms(), kHealthIntervalRangeMs);
    const bool timeout_ok =
        CheckDuration(path + ".timeout", check.timeout_ms(), kHealthTimeoutRangeMs);
    if (interval_ok && timeout_ok && check.timeout_ms() > check.interval_ms())
      Add(path + ".timeout", DurationText(check.timeout_ms()) + " is longer than the interval, " +
                                 DurationText(check.interval_ms()));
    CheckRange(path + ".rise", check.rise(), kHealthThresholdRange);
    CheckRange(path + ".fall", check.fall(), kHealthThresholdRange);
    if (check.port() != 0) CheckRange(path + ".port", check.port(), kPortRange);
    if (check.type() == v1::HealthCheck::TYPE_HTTP)
      CheckHttp(path, check);
    else
      CheckNoHttp(path, check);
  }

  void CheckHttp(const std::string& path, const v1::HealthCheck& check) {
    if (!check.http_path().starts_with('/')) Add(path + ".http_path", "must begin with a slash");
    CheckHttpText(path + ".http_path", check.http_path());
    CheckHttpText(path + ".http_host", check.http_host());
    if (check.http_expected_status() != 0)
      CheckRange(path + ".http_expected_status", check.http_expected_status(), kHttpStatusRange);
  }

  // It becomes part of a request's head: no space, no line end.
  void CheckHttpText(const std::string& path, const std::string& text) {
    const auto visible = [](char c) { return c > 0x20 && c < 0x7f; };
    if (!std::all_of(text.begin(), text.end(), visible))
      Add(path, "only visible ASCII characters may stand here");
    if (text.size() > kMaxHttpTextLength)
      Add(path, "longer than " + std::to_string(kMaxHttpTextLength) + " characters");
  }

  void CheckNoHttp(const std::string& path, const v1::HealthCheck& check) {
    const std::string message = "belongs to type http";
    if (!check.http_path().empty()) Add(path + ".http_path", message);
    if (!check.http_host().empty()) Add(path + ".http_host", message);
    if (check.http_expected_status() != 0) Add(path + ".http_expected_status", message);
  }

  void CheckOutboundGateway(int index) {
    const std::string path = Item("outbound_gateways", index);
    const v1::OutboundGateway& gateway = state_.outbound_gateways(index);
    const v1::OutboundGateway resolved = ResolveOutboundGateway(gateway);
    CheckName(path, gateway.name(), "an outbound gateway");
    if (gateway.inside_prefixes().empty())
      Add(path + ".inside_prefixes", "an outbound gateway needs an inside prefix");
    if (gateway.outside_addresses().empty())
      Add(path + ".outside_addresses", "an outbound gateway needs an outside address");
    const auto inside = CheckPrefixes(path + ".inside_prefixes", gateway.inside_prefixes());
    const auto outside = CheckOutsideAddresses(path, index, inside);
    const auto destinations = CheckPrefixes(path + ".destinations", gateway.destinations());
    // What could not be read may be of the family that would be missed.
    if (std::ssize(inside) == gateway.inside_prefixes_size() &&
        std::ssize(outside) == gateway.outside_addresses_size())
      CheckGatewayFamilies(path, inside, outside, destinations);
    CheckProtocols(path + ".protocols", gateway);
    CheckEnum(path + ".udp_mapping", resolved.udp_mapping());
    CheckTimeouts(path + ".timeouts", resolved.timeouts());
  }

  // What could be read of a list, each with its place there.
  template <typename Value>
  using Placed = std::vector<std::pair<int, Value>>;

  Placed<net::Prefix> CheckPrefixes(const std::string& path, const Addresses& texts) {
    Placed<net::Prefix> prefixes;
    std::set<net::Prefix> seen;
    for (int i = 0; i < texts.size(); ++i) {
      const net::Result<net::Prefix> prefix = net::ParsePrefix(texts[i]);
      if (!prefix) {
        Add(Item(path, i), prefix.error().message);
        continue;
      }
      if (!seen.insert(*prefix).second) Add(Item(path, i), texts[i] + kTwice);
      prefixes.emplace_back(i, *prefix);
    }
    return prefixes;
  }

  Placed<net::IpAddress> CheckOutsideAddresses(const std::string& gateway_path, int gateway_index,
                                               const Placed<net::Prefix>& inside) {
    const Addresses& texts = state_.outbound_gateways(gateway_index).outside_addresses();
    Placed<net::IpAddress> addresses;
    std::set<net::IpAddress> seen;
    for (int i = 0; i < texts.size(); ++i) {
      const std::string path = Item(gateway_path + ".outside_addresses", i);
      const std::optional<net::IpAddress> address = CheckHost(path, texts[i]);
      if (!address) continue;
      addresses.emplace_back(i, *address);
      if (!CheckListedAddress(path, texts[i], *address, seen)) continue;
      CheckOutsideIsNothingElse(path, texts[i], *address, gateway_index);
      for (const auto& [place, prefix] : inside)
        if (prefix.Contains(*address))
          Add(path, texts[i] + " is in the inside prefix " + net::ToString(prefix));
    }
    return addresses;
  }

  void CheckOutsideIsNothingElse(const std::string& path, const std::string& text,
                                 const net::IpAddress& address, int gateway_index) {
    if (vip_addresses_.contains(address)) Add(path, text + " is the address of a service too");
    if (local_addresses_.contains(address)) Add(path, text + " is a local address too");
    const auto [first, added] = outside_addresses_.emplace(address, gateway_index);
    if (!added)
      Add(path, text + " is already an outside address of " +
                    Item("outbound_gateways", first->second) + " (" +
                    state_.outbound_gateways(first->second).name() + ')');
  }

  // Translation stays within a family.
  void CheckGatewayFamilies(const std::string& path, const Placed<net::Prefix>& inside,
                            const Placed<net::IpAddress>& outside,
                            const Placed<net::Prefix>& destinations) {
    std::set<net::Family> inside_families, outside_families;
    for (const auto& [place, prefix] : inside) inside_families.insert(prefix.address.family());
    for (const auto& [place, address] : outside) outside_families.insert(address.family());
    if (inside.empty() || outside.empty()) return;
    for (const net::Family family : inside_families)
      if (!outside_families.contains(family))
        Add(path + ".outside_addresses", std::string(FamilyName(family)) +
                                             " inside prefixes need an outside address of that " +
                                             "family");
    const auto check = [&](const std::string& where, const std::string& text, net::Family family) {
      if (!inside_families.contains(family))
        Add(where, text + " is " + std::string(FamilyName(family)) + ", and no inside prefix is");
    };
    for (const auto& [place, address] : outside)
      check(Item(path + ".outside_addresses", place), net::ToString(address), address.family());
    for (const auto& [place, prefix] : destinations)
      check(Item(path + ".destinations", place), net::ToString(prefix), prefix.address.family());
  }

  void CheckProtocols(const std::string& path, const v1::OutboundGateway& gateway) {
    std::set<int> seen;
    for (int i = 0; i < gateway.protocols_size(); ++i) {
      CheckEnum(Item(path, i), gateway.protocols(i));
      if (!seen.insert(gateway.protocols(i)).second)
        Add(Item(path, i), WordOf(gateway.protocols(i)) + kTwice);
    }
  }

  const v1::DesiredState& state_;
  const OnBox& on_box_;
  std::vector<v1::Violation> violations_;
  std::map<std::string_view, std::string> names_;  // and the paths of those who have them
  std::map<std::tuple<net::Endpoint, v1::Protocol>, int> vips_;
  std::set<net::IpAddress> vip_addresses_;
  std::set<net::IpAddress> local_addresses_;
  std::map<net::IpAddress, int> outside_addresses_;
};

}  // namespace

std::vector<v1::Violation> Validate(const v1::DesiredState& state, const OnBox& on_box) {
  return Validator(state, on_box).Run();
}

}  // namespace steelyard::controlplane
