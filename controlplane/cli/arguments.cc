// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/arguments.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "controlplane/cli/errors.h"
#include "controlplane/config/words.h"
#include "net/address.h"

namespace steelyard::controlplane::cli {
namespace {

template <typename Integer>
std::optional<Integer> ToInteger(std::string_view text) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void FailEndpoint(const std::string& text, const std::string& why) {
  throw UsageError("'" + text + "' is not an address and port like 192.0.2.1:80 or " +
                   "[2001:db8::1]:80: " + why);
}

}  // namespace

uint64_t ParseNumber(const std::string& name, const std::string& text) {
  const auto value = ToInteger<uint64_t>(text);
  if (!value) throw UsageError(name + ": '" + text + "' is not a number");
  return *value;
}

v1::Protocol ParseProtocol(const std::string& text) {
  const auto* found = FindEnumWord(*v1::Protocol_descriptor(), text);
  if (found == nullptr) throw UsageError("'" + text + "' is not a protocol: tcp, udp or icmp");
  return static_cast<v1::Protocol>(found->number());
}

v1::Endpoint ParseEndpoint(const std::string& text, Range ports) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) FailEndpoint(text, "no port");
  std::string address = text.substr(0, colon);
  const bool bracketed = address.starts_with('[') && address.ends_with(']');
  if (bracketed) address = address.substr(1, address.size() - 2);
  if (bracketed != (address.find(':') != std::string::npos))
    FailEndpoint(text, "an IPv6 address, and nothing else, is in brackets");
  const auto port = ToInteger<uint32_t>(text.substr(colon + 1));
  if (!port) FailEndpoint(text, "the port is not a number");
  const net::Result<net::IpAddress> parsed = net::ParseIpAddress(address);
  if (!parsed) FailEndpoint(text, parsed.error().message);
  if (!ports.Contains(*port))
    FailEndpoint(text, "port " + std::to_string(*port) + " is not within " +
                           std::to_string(ports.min) + " to " + std::to_string(ports.max));
  v1::Endpoint result;
  result.set_address(net::ToString(*parsed));
  result.set_port(*port);
  return result;
}

}  // namespace steelyard::controlplane::cli
