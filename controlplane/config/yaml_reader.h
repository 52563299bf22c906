// SPDX-License-Identifier: Apache-2.0
//
// Reads a YAML document into messages by tables: a message has a table of its keys, a key is one
// row (name, required or not, how its value is read). Whatever is wrong is noted with its position
// and the reading goes on, so that all faults of a file come out at once: unknown, repeated and
// missing keys, wrong types, numbers out of range, words that an enum does not know. Nothing
// throws. One thread.
//
// To add a key: one row in the table of its message (declared_state.cc, daemon_config.cc).
#pragma once

#include <google/protobuf/generated_enum_reflection.h>
#include <google/protobuf/repeated_ptr_field.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config/bounds.h"
#include "controlplane/config/source_map.h"
#include "controlplane/config/yaml_document.h"
#include "net/result.h"

namespace steelyard::controlplane {

// What reading a file gives beside its values.
struct Reading {
  SourceMap source_map;
  std::vector<Fault> faults;
};

struct YamlKey {
  std::string_view name;
  bool required;
};

// One value of a document: its node, its path and its place. Refers to the Reading that it notes
// its faults in. The typed readers give nothing when the value is not of that type, and have noted
// why.
class YamlValue {
 public:
  // The root. An error in the document has been noted by then: only for one that has a root.
  YamlValue(const YamlDocument& document, Reading& reading)
      : YamlValue(*document.root(), "", document.root()->position, reading) {}

  bool IsNothing() const { return node_->kind == YamlNode::Kind::kNothing; }  // empty, or ~
  void Fail(std::string message) const;

  std::optional<std::string> Text() const;
  std::optional<uint64_t> Number(Range range) const;
  std::optional<uint64_t> DurationMs(Range range) const;
  std::optional<bool> Bool() const;
  std::optional<int> Enum(const google::protobuf::EnumDescriptor& type) const;
  void ForEachItem(const std::function<void(const YamlValue&)>& read) const;
  // Calls `read` with the index of the key for each known key that is there.
  void ForEachKey(const std::vector<YamlKey>& keys,
                  const std::function<void(size_t, const YamlValue&)>& read) const;

 private:
  YamlValue(const YamlNode& node, std::string path, Position position, Reading& reading);
  void ReadEntry(const YamlNode& key, const YamlNode& value, const std::vector<YamlKey>& keys,
                 std::vector<bool>& seen,
                 const std::function<void(size_t, const YamlValue&)>& read) const;
  std::optional<std::string> Scalar(std::string_view expected) const;
  void FailAt(Position position, std::string path, std::string message) const;
  std::string KeyPath(std::string_view key) const;

  const YamlNode* node_;
  std::string path_;
  Position position_;
  Reading* reading_;
};

net::Result<std::string> ReadFile(const std::string& path);

template <typename Message>
using ReadValue = std::function<void(const YamlValue&, Message&)>;

enum class Presence { kOptional, kRequired };
using enum Presence;

template <typename Message>
struct Field {
  std::string_view key;
  Presence presence;
  ReadValue<Message> read;
};

template <typename Message>
using FieldTable = std::vector<Field<Message>>;

template <typename Message>
void ReadMessage(const YamlValue& value, const FieldTable<Message>& table, Message& message) {
  std::vector<YamlKey> keys;
  for (const Field<Message>& field : table)
    keys.push_back({field.key, field.presence == kRequired});
  value.ForEachKey(
      keys, [&](size_t index, const YamlValue& entry) { table[index].read(entry, message); });
}

// How a row's value is read, by the accessor of the message that takes it.

template <typename Message>
ReadValue<Message> Text(std::string* (Message::*field)()) {
  return [field](const YamlValue& value, Message& message) {
    if (auto text = value.Text()) *(message.*field)() = std::move(*text);
  };
}

template <typename Message>
ReadValue<Message> Number(void (Message::*set)(uint32_t), Range range) {
  return [set, range](const YamlValue& value, Message& message) {
    if (const auto number = value.Number(range)) (message.*set)(static_cast<uint32_t>(*number));
  };
}

template <typename Message>
ReadValue<Message> Duration(void (Message::*set)(uint64_t), Range range_ms) {
  return [set, range_ms](const YamlValue& value, Message& message) {
    if (const auto duration_ms = value.DurationMs(range_ms)) (message.*set)(*duration_ms);
  };
}

template <typename Message>
ReadValue<Message> Bool(void (Message::*set)(bool)) {
  return [set](const YamlValue& value, Message& message) {
    if (const auto flag = value.Bool()) (message.*set)(*flag);
  };
}

template <typename Message, typename Word>
ReadValue<Message> Enum(void (Message::*set)(Word)) {
  return [set](const YamlValue& value, Message& message) {
    if (const auto number = value.Enum(*google::protobuf::GetEnumDescriptor<Word>()))
      (message.*set)(static_cast<Word>(*number));
  };
}

template <typename Message, typename Word>
ReadValue<Message> EnumList(void (Message::*add)(Word)) {
  return [add](const YamlValue& value, Message& message) {
    // An item that cannot be read keeps its place: paths count the items of the file.
    value.ForEachItem([&](const YamlValue& item) {
      (message.*
       add)(static_cast<Word>(item.Enum(*google::protobuf::GetEnumDescriptor<Word>()).value_or(0)));
    });
  };
}

template <typename Message>
ReadValue<Message> TextList(google::protobuf::RepeatedPtrField<std::string>* (Message::*field)()) {
  return [field](const YamlValue& value, Message& message) {
    // An item that cannot be read keeps its place: paths count the items of the file.
    value.ForEachItem([&](const YamlValue& item) {
      (message.*field)()->Add(item.Text().value_or(std::string{}));
    });
  };
}

template <typename Message, typename Part>
ReadValue<Message> Nested(Part* (Message::*field)(), const FieldTable<Part>& table) {
  return [field, &table](const YamlValue& value, Message& message) {
    ReadMessage(value, table, *(message.*field)());
  };
}

template <typename Message, typename Item>
ReadValue<Message> NestedList(google::protobuf::RepeatedPtrField<Item>* (Message::*field)(),
                              const FieldTable<Item>& table) {
  return [field, &table](const YamlValue& value, Message& message) {
    value.ForEachItem(
        [&](const YamlValue& item) { ReadMessage(item, table, *(message.*field)()->Add()); });
  };
}

}  // namespace steelyard::controlplane
