// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/diff.h"

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "controlplane/config/words.h"
#include "controlplane/config/yaml_text.h"

namespace steelyard::controlplane {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// What a list holds, each under the text that identifies it, in a stable order.
template <typename Item>
using Keyed = std::map<std::string, Item>;

// A valid state has no two elements of one key; in others the later ones are told apart by number.
template <typename Item>
void AddKeyed(Keyed<Item>& items, const std::string& key, Item item) {
  std::string unique = key;
  for (int n = 2; !items.emplace(unique, item).second; ++n) unique = key + '#' + std::to_string(n);
}

std::string FieldOr(const Message& message, const char* name, const std::string& fallback) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  return field == nullptr ? fallback : FieldText(message, *field);
}

std::string KeyOf(const Message& message, int index) {
  const std::string endpoint =
      FieldOr(message, "address", std::to_string(index)) + ':' + FieldOr(message, "port", "");
  return FieldOr(message, "name", endpoint);
}

class Differ {
 public:
  std::vector<v1::Change> Take() { return std::move(changes_); }

  void Messages(const std::string& path, const Message& before, const Message& after) {
    const auto& type = *before.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const std::string field_path = (path.empty() ? "" : path + '.') + FieldWord(field);
      const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
      if (field.is_repeated() && is_message)
        MessageLists(field_path, field, before, after);
      else if (field.is_repeated())
        ValueLists(field_path, field, before, after);
      else if (is_message)
        Parts(field_path, field, before, after);
      else
        Scalars(field_path, FieldText(before, field), FieldText(after, field));
    }
  }

  void Scalars(const std::string& path, const std::string& before, const std::string& after) {
    if (before == after) return;
    Add(before.empty()  ? v1::Change::KIND_ADDED
        : after.empty() ? v1::Change::KIND_REMOVED
                        : v1::Change::KIND_CHANGED,
        path, before, after);
  }

 private:
  void Add(v1::Change::Kind kind, const std::string& path, std::string before, std::string after) {
    v1::Change& change = changes_.emplace_back();
    change.set_kind(kind);
    change.set_path(path);
    change.set_before(std::move(before));
    change.set_after(std::move(after));
  }

  void Parts(const std::string& path, const FieldDescriptor& field, const Message& before,
             const Message& after) {
    const auto& reflection = *before.GetReflection();
    const bool was = reflection.HasField(before, &field);
    const bool is = reflection.HasField(after, &field);
    const Message& part_before = reflection.GetMessage(before, &field);
    const Message& part_after = reflection.GetMessage(after, &field);
    if (was && is) Messages(path, part_before, part_after);
    if (was && !is) Add(v1::Change::KIND_REMOVED, path, YamlText(part_before), "");
    if (!was && is) Add(v1::Change::KIND_ADDED, path, "", YamlText(part_after));
  }

  void MessageLists(const std::string& path, const FieldDescriptor& field, const Message& before,
                    const Message& after) {
    const Keyed<const Message*> was = KeyedMessages(field, before);
    const Keyed<const Message*> is = KeyedMessages(field, after);
    Merge(was, is, [&](const std::string& key, const auto* old_item, const auto* new_item) {
      const std::string item_path = path + '[' + key + ']';
      if (old_item != nullptr && new_item != nullptr) {
        // Most of a large state is as it was: bytes are compared faster than fields.
        if ((*old_item)->SerializeAsString() != (*new_item)->SerializeAsString())
          Messages(item_path, **old_item, **new_item);
        return;
      }
      if (old_item != nullptr)
        return Add(v1::Change::KIND_REMOVED, item_path, YamlText(**old_item), "");
      Add(v1::Change::KIND_ADDED, item_path, "", YamlText(**new_item));
    });
  }

  void ValueLists(const std::string& path, const FieldDescriptor& field, const Message& before,
                  const Message& after) {
    const Keyed<std::string> was = KeyedValues(field, before);
    const Keyed<std::string> is = KeyedValues(field, after);
    Merge(was, is, [&](const std::string&, const auto* old_item, const auto* new_item) {
      if (new_item == nullptr) Add(v1::Change::KIND_REMOVED, path, *old_item, "");
      if (old_item == nullptr) Add(v1::Change::KIND_ADDED, path, "", *new_item);
    });
  }

  static Keyed<const Message*> KeyedMessages(const FieldDescriptor& field, const Message& message) {
    Keyed<const Message*> items;
    const auto& reflection = *message.GetReflection();
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      const Message& item = reflection.GetRepeatedMessage(message, &field, i);
      AddKeyed(items, KeyOf(item, i), &item);
    }
    return items;
  }

  static Keyed<std::string> KeyedValues(const FieldDescriptor& field, const Message& message) {
    Keyed<std::string> items;
    for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
      const std::string value = ItemText(message, field, i);
      AddKeyed(items, value, value);
    }
    return items;
  }

  // Walks two sorted lists together: every key once, with what each side has (or null).
  template <typename Item, typename Visit>
  static void Merge(const Keyed<Item>& was, const Keyed<Item>& is, Visit visit) {
    auto left = was.begin();
    auto right = is.begin();
    while (left != was.end() || right != is.end()) {
      const bool has_left = left != was.end() && (right == is.end() || left->first <= right->first);
      const bool has_right =
          right != is.end() && (left == was.end() || right->first <= left->first);
      const std::string& key = has_left ? left->first : right->first;
      visit(key, has_left ? &left->second : nullptr, has_right ? &right->second : nullptr);
      if (has_left) ++left;
      if (has_right) ++right;
    }
  }

  std::vector<v1::Change> changes_;
};

// The names of the outbound gateways that the other state has too.
std::string CommonGateways(const v1::DesiredState& state, const v1::DesiredState& other) {
  std::set<std::string_view> known;
  for (const v1::OutboundGateway& gateway : other.outbound_gateways()) known.insert(gateway.name());
  std::string names;
  for (const v1::OutboundGateway& gateway : state.outbound_gateways())
    if (known.contains(gateway.name())) names += (names.empty() ? "" : ", ") + gateway.name();
  return names;
}

}  // namespace

std::vector<v1::Change> Diff(const v1::DesiredState& before, const v1::DesiredState& after) {
  Differ differ;
  differ.Messages("", before, after);
  differ.Scalars("outbound_gateways", CommonGateways(before, after), CommonGateways(after, before));
  return differ.Take();
}

}  // namespace steelyard::controlplane
