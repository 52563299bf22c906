// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/yaml_reader.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>

#include "controlplane/config/words.h"

namespace steelyard::controlplane {
namespace {

constexpr size_t kMaxShownLength = 100;

bool IsPrintable(char c) {
  return c >= 0x20 && c < 0x7f;
}

// Of a file's text in a message: a terminal or a log must not take harm.
std::string Shown(std::string_view text) {
  std::string shown(text.substr(0, kMaxShownLength));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return !IsPrintable(c); }, '?');
  return shown;
}

std::string Quoted(std::string_view text) {
  return '"' + Shown(text) + '"';
}

std::string Describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kScalar:
      return Quoted(node.text);
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
    case YamlNode::Kind::kNothing:
      break;
  }
  return "nothing";
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
    }
  }
  return row[b.size()];
}

template <typename Items, typename Name>
std::string Join(const Items& items, Name name) {
  std::string text;
  for (const auto& item : items) text.append(text.empty() ? "" : ", ").append(name(item));
  return text;
}

std::string UnknownKey(const std::string& name, const std::vector<YamlKey>& keys) {
  const auto nearest =
      std::min_element(keys.begin(), keys.end(), [&](const auto& a, const auto& b) {
        return EditDistance(name, a.name) < EditDistance(name, b.name);
      });
  const size_t near_enough = std::max<size_t>(2, name.size() / 3);
  if (nearest != keys.end() && EditDistance(name, nearest->name) <= near_enough)
    return "unknown key, did you mean " + Quoted(nearest->name) + "?";
  return "unknown key, the known ones are " + Join(keys, [](const auto& key) { return key.name; });
}

std::string NotWithin(const std::string& value, const std::string& min, const std::string& max) {
  return value + " is not within " + min + " to " + max;
}

}  // namespace

YamlValue::YamlValue(const YamlNode& node, std::string path, Position position, Reading& reading)
    : node_(&node), path_(std::move(path)), position_(position), reading_(&reading) {
  reading_->source_map.Set(path_, position_);
}

void YamlValue::Fail(std::string message) const {
  FailAt(position_, path_, std::move(message));
}

void YamlValue::FailAt(Position position, std::string path, std::string message) const {
  reading_->faults.push_back({position, std::move(path), std::move(message)});
}

std::string YamlValue::KeyPath(std::string_view key) const {
  return (path_.empty() ? "" : path_ + '.').append(key);
}

std::optional<std::string> YamlValue::Scalar(std::string_view expected) const {
  if (node_->kind == YamlNode::Kind::kScalar) return node_->text;
  Fail("expected " + std::string(expected) + ", found " + Describe(*node_));
  return std::nullopt;
}

std::optional<std::string> YamlValue::Text() const {
  std::optional<std::string> text = Scalar("text");
  if (!text) return std::nullopt;
  if (std::all_of(text->begin(), text->end(), IsPrintable)) return text;
  Fail("holds a character that is not printable ASCII");
  return std::nullopt;
}

std::optional<uint64_t> YamlValue::Number(Range range) const {
  const std::optional<std::string> text = Scalar("a whole number");
  if (!text) return std::nullopt;
  const bool digits_only = !text->empty() && std::all_of(text->begin(), text->end(), [](char c) {
    return c >= '0' && c <= '9';
  });
  const bool octal_look = text->size() > 1 && text->front() == '0';
  if (node_->quoted || !digits_only || octal_look) {
    Fail("expected a whole number, found " + Describe(*node_));
    return std::nullopt;
  }
  uint64_t number = 0;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (code == std::errc{} && range.Contains(number)) return number;
  Fail(NotWithin(Shown(*text), std::to_string(range.min), std::to_string(range.max)));
  return std::nullopt;
}

std::optional<uint64_t> YamlValue::DurationMs(Range range) const {
  const std::optional<std::string> text = Scalar("a duration such as 500ms, 2s, 5m or 1h");
  if (!text) return std::nullopt;
  const net::Result<uint64_t> duration_ms = ParseDurationMs(*text);
  if (!duration_ms) {
    Fail(duration_ms.error().message);
    return std::nullopt;
  }
  if (range.Contains(*duration_ms)) return *duration_ms;
  Fail(NotWithin(*text, DurationText(range.min), DurationText(range.max)));
  return std::nullopt;
}

std::optional<bool> YamlValue::Bool() const {
  const std::optional<std::string> text = Scalar("true or false");
  if (!text) return std::nullopt;
  if (!node_->quoted && *text == "true") return true;
  if (!node_->quoted && *text == "false") return false;
  Fail("expected true or false, found " + Describe(*node_));
  return std::nullopt;
}

std::optional<int> YamlValue::Enum(const google::protobuf::EnumDescriptor& type) const {
  const std::vector<std::string> words = EnumWords(type);
  const std::string choice = Join(words, [](const std::string& word) { return word; });
  const std::optional<std::string> text = Scalar("one of " + choice);
  if (!text) return std::nullopt;
  if (const auto* found = FindEnumWord(type, *text)) return found->number();
  Fail(Quoted(*text) + " is not one of " + choice);
  return std::nullopt;
}

void YamlValue::ForEachItem(const std::function<void(const YamlValue&)>& read) const {
  if (node_->kind != YamlNode::Kind::kList)
    return Fail("expected a list, found " + Describe(*node_));
  for (size_t i = 0; i < node_->children.size(); ++i) {
    const YamlNode& item = *node_->children[i];
    read(YamlValue(item, path_ + '[' + std::to_string(i) + ']', item.position, *reading_));
  }
}

void YamlValue::ForEachKey(const std::vector<YamlKey>& keys,
                           const std::function<void(size_t, const YamlValue&)>& read) const {
  if (node_->kind != YamlNode::Kind::kMap) return Fail("expected a map, found " + Describe(*node_));
  std::vector<bool> seen(keys.size());
  for (size_t i = 0; i + 1 < node_->children.size(); i += 2)
    ReadEntry(*node_->children[i], *node_->children[i + 1], keys, seen, read);
  for (size_t i = 0; i < keys.size(); ++i)
    if (keys[i].required && !seen[i])
      FailAt(position_, KeyPath(keys[i].name), "this key is required");
}

void YamlValue::ReadEntry(const YamlNode& key, const YamlNode& value,
                          const std::vector<YamlKey>& keys, std::vector<bool>& seen,
                          const std::function<void(size_t, const YamlValue&)>& read) const {
  if (key.kind != YamlNode::Kind::kScalar)
    return FailAt(key.position, path_, "expected a key, found " + Describe(key));
  const std::string name = Shown(key.text);
  const auto known = std::find_if(keys.begin(), keys.end(),
                                  [&](const YamlKey& candidate) { return candidate.name == name; });
  const auto index = static_cast<size_t>(known - keys.begin());
  if (known == keys.end()) return FailAt(key.position, KeyPath(name), UnknownKey(name, keys));
  if (seen[index]) return FailAt(key.position, KeyPath(name), "this key stands here twice");
  seen[index] = true;
  // The parser places an absent value at whatever comes next.
  const bool absent = value.kind == YamlNode::Kind::kNothing;
  read(index, YamlValue(value, KeyPath(name), absent ? key.position : value.position, *reading_));
}

net::Result<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (file == nullptr) return net::Error{std::strerror(errno)};
  std::string content;
  std::array<char, 65536> chunk;
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), file.get()))
    content.append(chunk.data(), got);
  if (std::ferror(file.get())) return net::Error{std::strerror(errno)};
  return content;
}

}  // namespace steelyard::controlplane
