// SPDX-License-Identifier: Apache-2.0
//
// The words that people meet for the schema's identifiers, in the YAML file, in paths and in
// tables: PROTOCOL_TCP is `tcp`, the field `interval_ms` is `interval` and its value 2000 is `2s`.
// Derived from the descriptors, so a new enumerator or field has its word without a line here. Any
// thread.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/generated_enum_reflection.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/result.h"

namespace steelyard::controlplane {

// The enumerator's name without the prefix that its enum's zero (PREFIX_UNSPECIFIED) shows; the
// zero's own word is empty.
std::string EnumWord(const google::protobuf::EnumValueDescriptor& value);
// The words that a file may use: all but the zero's.
std::vector<std::string> EnumWords(const google::protobuf::EnumDescriptor& type);
// Null when no enumerator has this word.
const google::protobuf::EnumValueDescriptor* FindEnumWord(
    const google::protobuf::EnumDescriptor& type, std::string_view word);
// For enums named in code: WordOf(v1::PROTOCOL_TCP).
template <typename Enum>
std::string WordOf(Enum value) {
  const auto* found = google::protobuf::GetEnumDescriptor<Enum>()->FindValueByNumber(value);
  return found == nullptr ? std::to_string(static_cast<int>(value)) : EnumWord(*found);
}

bool IsDuration(const google::protobuf::FieldDescriptor& field);  // its name ends in _ms
std::string FieldWord(const google::protobuf::FieldDescriptor& field);

// A whole number and its unit: 500ms, 2s, 5m, 1h. Nothing else.
net::Result<uint64_t> ParseDurationMs(std::string_view text);
std::string DurationText(uint64_t duration_ms);  // in the largest unit that is exact

}  // namespace steelyard::controlplane
