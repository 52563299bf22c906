// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/daemon_config.h"

#include <sys/un.h>

namespace steelyard::controlplane {
namespace {

ReadValue<DaemonConfig> Path(std::string DaemonConfig::*field, size_t max_length) {
  return [field, max_length](const YamlValue& value, DaemonConfig& config) {
    const std::optional<std::string> text = value.Text();
    if (!text) return;
    if (text->empty()) return value.Fail("expected a path, found nothing");
    if (text->size() > max_length)
      return value.Fail("a path of " + std::to_string(text->size()) + " bytes: at most " +
                        std::to_string(max_length) + " are possible here");
    config.*field = *text;
  };
}

constexpr size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;
constexpr size_t kMaxPath = 4095;

net::Result<net::Endpoint> ParseEndpoint(const std::string& text) {
  const net::Error error{'"' + text +
                         "\" is not an address and port such as 127.0.0.1:9464 or \"[::1]:9464\""};
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return error;
  std::string address = text.substr(0, colon);
  const bool bracketed = address.starts_with('[') && address.ends_with(']');
  if (bracketed) address = address.substr(1, address.size() - 2);
  const net::Result<net::IpAddress> parsed = net::ParseIpAddress(address);
  const std::string digits = text.substr(colon + 1);
  const bool is_number = !digits.empty() && digits.size() <= 5 &&
                         digits.find_first_not_of("0123456789") == std::string::npos;
  const unsigned long port = is_number ? std::stoul(digits) : 0;
  if (!parsed || parsed->is_v4() == bracketed || !kPortRange.Contains(port)) return error;
  return net::Endpoint{*parsed, net::Be16(static_cast<uint16_t>(port))};
}

void ReadMetricsAddress(const YamlValue& value, DaemonConfig& config) {
  const std::optional<std::string> text = value.Text();
  if (!text) return;
  const net::Result<net::Endpoint> endpoint = ParseEndpoint(*text);
  if (!endpoint) return value.Fail(endpoint.error().message);
  config.metrics_address = *endpoint;
}

const FieldTable<DaemonConfig> kDaemonConfig = {
    {"dataplane_socket", kOptional, Path(&DaemonConfig::dataplane_socket, kMaxSocketPath)},
    {"api_socket", kOptional, Path(&DaemonConfig::api_socket, kMaxSocketPath)},
    {"metrics_address", kOptional, ReadMetricsAddress},
    {"state_directory", kOptional, Path(&DaemonConfig::state_directory, kMaxPath)},
    {"services_file", kOptional, Path(&DaemonConfig::services_file, kMaxPath)},
};

}  // namespace

DaemonConfigReading ParseDaemonConfig(const std::string& yaml) {
  DaemonConfigReading reading;
  const YamlDocument document(yaml, reading.faults);
  if (document.root() == nullptr) return reading;
  const YamlValue root(document, reading);
  if (!root.IsNothing()) ReadMessage(root, kDaemonConfig, reading.config);
  return reading;
}

DaemonConfigReading ReadDaemonConfig(const std::string& path) {
  const net::Result<std::string> content = ReadFile(path);
  if (content) return ParseDaemonConfig(*content);
  DaemonConfigReading reading;
  reading.faults.push_back({{}, "", content.error().message});
  return reading;
}

}  // namespace steelyard::controlplane
