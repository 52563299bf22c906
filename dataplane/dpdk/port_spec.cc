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
constexpr std::string_view kBuffersOption = "buffers=";

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

struct Options {
  std::string others;         // all but queues=N and buffers=N
  uint16_t queues = 0;        // 0: not told
  uint32_t more_buffers = 0;  // likewise
  bool is_valid = true;
};

// Whether the text is a number from 1 on.
template <typename Integer>
bool ReadCount(std::string_view text, Integer& count) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, count);
  return error == std::errc{} && stop == end && count != 0;
}

Options SplitOptions(std::string_view text) {
  Options options;
  for (size_t at = 0; at < text.size();) {
    const std::string_view option = text.substr(at, text.find(',', at) - at);
    at += option.size() + 1;
    if (option.starts_with(kQueuesOption))
      options.is_valid &= ReadCount(option.substr(kQueuesOption.size()), options.queues);
    else if (option.starts_with(kBuffersOption))
      options.is_valid &= ReadCount(option.substr(kBuffersOption.size()), options.more_buffers);
    else
      options.others += (options.others.empty() ? "" : ",") + std::string(option);
  }
  return options;
}

Result<PortSpec> InterfaceSpec(std::string_view text, const Kind& kind, std::string_view rest,
                               uint32_t index) {
  const size_t comma = std::min(rest.find(','), rest.size());
  const std::string name(rest.substr(0, comma));
  if (name.empty()) return Invalid(text, "the name of a network interface must follow the colon");
  if (name.size() >= IFNAMSIZ || name.find_first_of("/ \t") != std::string::npos)
    return Invalid(text, "'" + name + "' cannot be the name of a network interface");
  const Options options = SplitOptions(rest.substr(std::min(comma + 1, rest.size())));
  if (!options.is_valid || !options.others.empty())
    return Invalid(text, "only queues=N and buffers=N may follow the interface's name");
  return PortSpec{.text = std::string(text),
                  .device = std::string(kind.driver) + std::to_string(index),
                  .arguments = "iface=" + name,
                  .kernel_interface = name,
                  .queues = options.queues,
                  .more_buffers = options.more_buffers};
}

Result<PortSpec> DriverSpec(std::string_view text, const Kind& kind, std::string_view rest,
                            uint32_t index) {
  const Options options = SplitOptions(rest);
  if (options.others.find('=') == std::string::npos)
    return Invalid(text, "driver arguments such as key=value must follow the colon");
  if (!options.is_valid) return Invalid(text, "queues=N and buffers=N take numbers from 1 on");
  return PortSpec{.text = std::string(text),
                  .device = std::string(kind.driver) + std::to_string(index),
                  .arguments = options.others,
                  .queues = options.queues,
                  .more_buffers = options.more_buffers};
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
