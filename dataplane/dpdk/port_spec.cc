// SPDX-License-Identifier: Apache-2.0
#include "dpdk/port_spec.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace steelyard::dpdk {
namespace {

using net::Error;
using net::Result;

constexpr std::string_view kForms =
    "0000:03:00.0, af_xdp:IFACE, af_packet:IFACE, memif:ARGS, pcap:ARGS or vdev:NAME,ARGS";
constexpr std::string_view kQueuesOption = "queues=";

enum class Argument { kInterface, kDriverArguments, kDevice };

struct Kind {
  std::string_view prefix;
  std::string_view driver;
  Argument argument;
};

constexpr std::array kKinds = {
    Kind{"af_xdp", "net_af_xdp", Argument::kInterface},
    Kind{"af_packet", "net_af_packet", Argument::kInterface},
    Kind{"memif", "net_memif", Argument::kDriverArguments},
    Kind{"pcap", "net_pcap", Argument::kDriverArguments},
    Kind{"vdev", "", Argument::kDevice},
};

Error Invalid(std::string_view text, std::string_view why) {
  return {"port '" + std::string(text) + "': " + std::string(why)};
}

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// "0000:03:00.0": each 'x' stands for a hexadecimal digit.
bool IsPciAddress(std::string_view text) {
  static constexpr std::string_view kShape = "xxxx:xx:xx.x";
  return std::equal(text.begin(), text.end(), kShape.begin(), kShape.end(),
                    [](char c, char shape) { return shape == 'x' ? IsHex(c) : c == shape; });
}

// 0: not a number of queues.
uint16_t ParseQueues(std::string_view text) {
  uint16_t queues = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), queues);
  return error == std::errc{} && stop == text.data() + text.size() ? queues : uint16_t{0};
}

Result<PortSpec> InterfaceSpec(std::string_view text, const Kind& kind, std::string_view rest,
                               uint32_t index) {
  const size_t comma = rest.find(',');
  const std::string_view name = rest.substr(0, comma);
  if (name.empty()) return Invalid(text, "the name of a network interface must follow the colon");
  if (name.size() >= IFNAMSIZ || name.find_first_of("/ \t") != std::string_view::npos)
    return Invalid(text, "'" + std::string(name) + "' cannot be the name of a network interface");
  PortSpec spec{.text = std::string(text),
                .device = std::string(kind.driver) + std::to_string(index),
                .arguments = "iface=" + std::string(name),
                .kernel_interface = std::string(name)};
  if (comma == std::string_view::npos) return spec;
  const std::string_view option = rest.substr(comma + 1);
  if (option.starts_with(kQueuesOption))
    spec.queues = ParseQueues(option.substr(kQueuesOption.size()));
  if (spec.queues == 0) return Invalid(text, "only queues=N may follow the interface's name");
  return spec;
}

Result<PortSpec> DriverSpec(std::string_view text, const Kind& kind, std::string_view rest,
                            uint32_t index) {
  if (rest.empty() || rest.find('=') == std::string_view::npos)
    return Invalid(text, "driver arguments such as key=value must follow the colon");
  return PortSpec{.text = std::string(text),
                  .device = std::string(kind.driver) + std::to_string(index),
                  .arguments = std::string(rest)};
}

Result<PortSpec> DeviceSpec(std::string_view text, std::string_view rest) {
  const size_t comma = rest.find(',');
  const std::string_view device = rest.substr(0, comma);
  if (device.empty()) return Invalid(text, "the name of a virtual device must follow the colon");
  PortSpec spec{.text = std::string(text), .device = std::string(device)};
  if (comma != std::string_view::npos) spec.arguments = rest.substr(comma + 1);
  return spec;
}

}  // namespace

Result<PortSpec> ParsePortSpec(std::string_view text, uint32_t index) {
  if (IsPciAddress(text))
    return PortSpec{.text = std::string(text), .device = std::string(text), .is_pci = true};
  const size_t colon = text.find(':');
  const std::string_view prefix = text.substr(0, colon);
  const auto* kind = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const Kind& row) { return row.prefix == prefix; });
  if (colon == std::string_view::npos || kind == kKinds.end())
    return Invalid(text, "not a port; expected " + std::string(kForms));
  const std::string_view rest = text.substr(colon + 1);
  switch (kind->argument) {
    case Argument::kInterface:
      return InterfaceSpec(text, *kind, rest, index);
    case Argument::kDriverArguments:
      return DriverSpec(text, *kind, rest, index);
    case Argument::kDevice:
      return DeviceSpec(text, rest);
  }
  return Invalid(text, "not a port");
}

}  // namespace steelyard::dpdk
