// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/words.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace steelyard::controlplane {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;

constexpr std::string_view kZeroSuffix = "UNSPECIFIED";
constexpr std::string_view kDurationSuffix = "_ms";

struct Unit {
  std::string_view name;
  uint64_t milliseconds;
};
constexpr std::array<Unit, 4> kUnits = {{{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return lower;
}

size_t PrefixLength(const EnumDescriptor& type) {
  const EnumValueDescriptor* zero = type.FindValueByNumber(0);
  const std::string_view name = zero == nullptr ? std::string_view{} : zero->name();
  return name.ends_with(kZeroSuffix) ? name.size() - kZeroSuffix.size() : 0;
}

}  // namespace

std::string EnumWord(const EnumValueDescriptor& value) {
  if (value.number() == 0) return {};
  return Lower(std::string_view(value.name()).substr(PrefixLength(*value.type())));
}

std::vector<std::string> EnumWords(const EnumDescriptor& type) {
  std::vector<std::string> words;
  for (int i = 0; i < type.value_count(); ++i)
    if (type.value(i)->number() != 0) words.push_back(EnumWord(*type.value(i)));
  return words;
}

const EnumValueDescriptor* FindEnumWord(const EnumDescriptor& type, std::string_view word) {
  for (int i = 0; i < type.value_count(); ++i)
    if (type.value(i)->number() != 0 && EnumWord(*type.value(i)) == word) return type.value(i);
  return nullptr;
}

bool IsDuration(const FieldDescriptor& field) {
  return std::string_view(field.name()).ends_with(kDurationSuffix);
}

std::string FieldWord(const FieldDescriptor& field) {
  const std::string& name = field.name();
  return IsDuration(field) ? name.substr(0, name.size() - kDurationSuffix.size()) : name;
}

net::Result<uint64_t> ParseDurationMs(std::string_view text) {
  const net::Error error{'"' + std::string(text) +
                         "\" is not a duration such as 500ms, 2s, 5m or 1h"};
  uint64_t count = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (code != std::errc{}) return error;
  const std::string_view unit_name(end, static_cast<size_t>(text.data() + text.size() - end));
  for (const Unit& unit : kUnits) {
    if (unit.name != unit_name) continue;
    if (count > std::numeric_limits<uint64_t>::max() / unit.milliseconds) return error;
    return count * unit.milliseconds;
  }
  return error;
}

std::string DurationText(uint64_t duration_ms) {
  for (const Unit& unit : kUnits)
    if (duration_ms % unit.milliseconds == 0 && duration_ms != 0)
      return std::to_string(duration_ms / unit.milliseconds).append(unit.name);
  return "0s";
}

}  // namespace steelyard::controlplane
