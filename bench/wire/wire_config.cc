// SPDX-License-Identifier: Apache-2.0
#include "wire_config.h"

#include <array>
#include <charconv>
#include <sstream>
#include <string_view>

namespace steelyard::wire {
namespace {

using net::Error;
using net::Ok;
using net::Result;
using net::Status;

constexpr uint32_t kMostFlows = 1u << 24;
constexpr uint32_t kMostDataFrameBytes = 1518;

template <typename Integer>
bool ReadNumber(std::string_view text, Integer& number) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && stop == text.data() + text.size();
}

bool ReadPort(std::string_view text, net::Be16& port) {
  uint16_t number;
  if (!ReadNumber(text, number) || number == 0) return false;
  port = net::Be16(number);
  return true;
}

bool ReadAddress(std::string_view text, net::IpAddress& address) {
  const Result<net::IpAddress> parsed = net::ParseIpAddress(text);
  if (parsed) address = *parsed;
  return parsed.ok();
}

bool ReadMac(std::string_view text, net::MacAddress& mac) {
  const Result<net::MacAddress> parsed = net::ParseMacAddress(text);
  if (parsed) mac = *parsed;
  return parsed.ok();
}

template <typename Value>
struct Word {
  std::string_view text;
  Value value;
};

template <typename Value, size_t count>
bool ReadWord(std::string_view text, const std::array<Word<Value>, count>& words, Value& value) {
  for (const Word<Value>& word : words) {
    if (word.text != text) continue;
    value = word.value;
    return true;
  }
  return false;
}

bool ReadName(std::string_view text, std::string& name) {
  name = text;
  return true;
}

constexpr std::array kBoxes = {Word<Box>{"full_nat", Box::kFullNat}, Word<Box>{"wire", Box::kWire},
                               Word<Box>{"swap", Box::kSwap}};
constexpr std::array kProtocols = {Word<net::L4Protocol>{"tcp", net::L4Protocol::kTcp},
                                   Word<net::L4Protocol>{"udp", net::L4Protocol::kUdp}};
constexpr std::array kAnswers = {Word<bool>{"yes", true}, Word<bool>{"no", false}};

struct Key {
  std::string_view name;
  bool (*read)(std::string_view text, WireConfig& config);
};

constexpr std::array kKeys = {
    Key{"box", [](auto text, auto& to) { return ReadWord(text, kBoxes, to.box); }},
    Key{"protocol", [](auto text, auto& to) { return ReadWord(text, kProtocols, to.protocol); }},
    Key{"flows", [](auto text, auto& to) { return ReadNumber(text, to.flows); }},
    Key{"frame_bytes", [](auto text, auto& to) { return ReadNumber(text, to.frame_bytes); }},
    Key{"set_up", [](auto text, auto& to) { return ReadWord(text, kAnswers, to.set_up); }},
    Key{"data_packets", [](auto text, auto& to) { return ReadNumber(text, to.data_packets); }},
    Key{"window", [](auto text, auto& to) { return ReadNumber(text, to.window); }},
    Key{"checksum_interval",
        [](auto text, auto& to) { return ReadNumber(text, to.checksum_interval); }},
    Key{"client", [](auto text, auto& to) { return ReadAddress(text, to.client); }},
    Key{"vip", [](auto text, auto& to) { return ReadAddress(text, to.vip); }},
    Key{"vip_port", [](auto text, auto& to) { return ReadPort(text, to.vip_port); }},
    Key{"local_address", [](auto text, auto& to) { return ReadAddress(text, to.local_address); }},
    Key{"local_addresses",
        [](auto text, auto& to) { return ReadNumber(text, to.local_addresses); }},
    Key{"backend", [](auto text, auto& to) { return ReadAddress(text, to.backend); }},
    Key{"backends", [](auto text, auto& to) { return ReadNumber(text, to.backends); }},
    Key{"backend_port", [](auto text, auto& to) { return ReadPort(text, to.backend_port); }},
    Key{"client_mac", [](auto text, auto& to) { return ReadMac(text, to.client_mac); }},
    Key{"backend_mac", [](auto text, auto& to) { return ReadMac(text, to.backend_mac); }},
    Key{"results", [](auto text, auto& to) { return ReadName(text, to.results); }},
    Key{"learnt", [](auto text, auto& to) { return ReadName(text, to.learnt); }},
};

Status ReadLine(const std::string& line, WireConfig& config) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::string name, value, more;
  if (!(words >> name)) return Ok{};
  if (!(words >> value) || words >> more) return Error{"'" + line + "' is not a key and a value"};
  for (const Key& key : kKeys) {
    if (key.name != name) continue;
    if (key.read(value, config)) return Ok{};
    return Error{"'" + value + "' is no value for " + name};
  }
  return Error{"no key is called '" + name + "'"};
}

Status Check(const WireConfig& config) {
  if (config.flows == 0 || config.flows > kMostFlows)
    return Error{"flows: 1 to " + std::to_string(kMostFlows) + " are possible"};
  if (config.frame_bytes > kMostDataFrameBytes)
    return Error{"frame_bytes: at most " + std::to_string(kMostDataFrameBytes)};
  if (config.checksum_interval == 0) return Error{"checksum_interval: at least 1"};
  if (config.local_addresses == 0 || config.backends == 0 || config.backends > UINT16_MAX)
    return Error{"local_addresses, backends: at least 1, and no more than 65535 backends"};
  if (config.client.family() != config.vip.family()) return Error{"client, vip: of two families"};
  if (config.box == Box::kFullNat && config.local_address.family() != config.backend.family())
    return Error{"local_address, backend: of two families"};
  if (!config.set_up && config.box != Box::kWire) return Error{"set_up no: only for a wire"};
  return Ok{};
}

}  // namespace

Result<WireConfig> ParseWireConfig(const std::string& text) {
  WireConfig config;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (const Status status = ReadLine(line, config); !status) return status.error();
  if (const Status status = Check(config); !status) return status.error();
  return config;
}

}  // namespace steelyard::wire
