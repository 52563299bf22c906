// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/format.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "controlplane/config/words.h"

namespace steelyard::controlplane::cli {
namespace {

// "3m05s": the smaller part has two digits after minutes, as clocks do.
std::string TwoUnits(uint64_t large, char large_unit, uint64_t small, char small_unit) {
  std::array<char, 48> text;
  const char* form = large_unit == 'd' ? "%llu%c%llu%c" : "%llu%c%02llu%c";
  std::snprintf(text.data(), text.size(), form, static_cast<unsigned long long>(large), large_unit,
                static_cast<unsigned long long>(small), small_unit);
  return text.data();
}

}  // namespace

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kUnits = {"B",   "KiB", "MiB", "GiB",
                                                      "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), unit > 0 && value < 9.95 ? "%.1f " : "%.0f ", value);
  return std::string(text.data()).append(kUnits[unit]);
}

std::string FormatDuration(uint64_t time_ms) {
  if (time_ms < 1000) return std::to_string(time_ms) + "ms";
  const uint64_t seconds = time_ms / 1000;
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) return TwoUnits(seconds / 60, 'm', seconds % 60, 's');
  if (seconds < 86400) return TwoUnits(seconds / 3600, 'h', seconds % 3600 / 60, 'm');
  return TwoUnits(seconds / 86400, 'd', seconds % 86400 / 3600, 'h');
}

std::string FormatAge(uint64_t since_unix_ms) {
  if (since_unix_ms == 0) return "-";
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  const auto now_ms = static_cast<uint64_t>(now.count());
  return FormatDuration(now_ms > since_unix_ms ? now_ms - since_unix_ms : 0);
}

std::string FormatEndpoint(const std::string& address, uint32_t port) {
  if (address.empty()) return "-";
  const bool is_v6 = address.find(':') != std::string::npos;
  return (is_v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

std::string FormatEndpoint(const v1::Endpoint& endpoint) {
  return FormatEndpoint(endpoint.address(), endpoint.port());
}

std::string FormatList(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + text;
  return list;
}

std::string FormatTimeouts(const v1::Timeouts& timeouts) {
  const google::protobuf::Descriptor& type = *v1::Timeouts::descriptor();
  std::string text;
  for (int i = 0; i < type.field_count(); ++i) {
    const google::protobuf::FieldDescriptor& field = *type.field(i);
    const uint64_t time_ms = timeouts.GetReflection()->GetUInt64(timeouts, &field);
    if (time_ms == 0) continue;
    text += (text.empty() ? "" : ", ") + FieldWord(field) + " " + DurationText(time_ms);
  }
  return text;
}

}  // namespace steelyard::controlplane::cli
