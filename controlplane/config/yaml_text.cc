// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/yaml_text.h"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <vector>

#include "controlplane/config/words.h"

namespace steelyard::controlplane {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool IsPlainScalar(const std::string& text) {
  const auto is_letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text != "null" && is_letter_or_digit(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-' || c == '/';
         });
}

std::string Scalar(const std::string& text) {
  if (IsPlainScalar(text)) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

// `index` -1: the field is singular.
std::string Printed(const Message& message, const FieldDescriptor& field, int index) {
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(message, &field, index, &text);
  return text;
}

std::string ItemValue(const Message& message, const FieldDescriptor& field, int index) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
    return YamlText(message.GetReflection()->GetRepeatedMessage(message, &field, index));
  return Scalar(ItemText(message, field, index));
}

std::string Value(const Message& message, const FieldDescriptor& field) {
  if (field.is_repeated()) {
    std::string list;
    for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i)
      list += (i == 0 ? "" : ", ") + ItemValue(message, field, i);
    return '[' + list + ']';
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
    return YamlText(message.GetReflection()->GetMessage(message, &field));
  return Scalar(FieldText(message, field));
}

}  // namespace

std::string FieldText(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL)
    return reflection.GetBool(message, &field) ? "true" : "false";
  if (!reflection.HasField(message, &field)) return {};
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.GetString(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumWord(*reflection.GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      if (IsDuration(field)) return DurationText(reflection.GetUInt64(message, &field));
      return Printed(message, field, -1);
    default:
      return Printed(message, field, -1);
  }
}

std::string ItemText(const Message& message, const FieldDescriptor& field, int index) {
  const auto& reflection = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING)
    return reflection.GetRepeatedString(message, &field, index);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM)
    return EnumWord(*reflection.GetRepeatedEnum(message, &field, index));
  return Printed(message, field, index);
}

std::string YamlText(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  std::string text;
  for (const FieldDescriptor* field : fields)
    text += (text.empty() ? "" : ", ") + FieldWord(*field) + ": " + Value(message, *field);
  return '{' + text + '}';
}

}  // namespace steelyard::controlplane
