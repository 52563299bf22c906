// SPDX-License-Identifier: Apache-2.0
//
// The daemon's log: one line an event on stderr, a sentence and then key=value pairs. No levels and
// no timestamps: journald has the time, and what is not worth a line is not written. Any thread.
#pragma once

#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace steelyard::controlplane {

// Quotes a value that is not one word, and shows control characters as '?', so that text from
// outside cannot forge a line.
inline std::string LogValue(std::string_view value) {
  std::string text;
  bool one_word = !value.empty();
  for (const char c : value) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    if (control || c == ' ' || c == '"' || c == '=') one_word = false;
    if (c == '"' || c == '\\') text += '\\';
    text += control ? '?' : c;
  }
  return one_word ? text : '"' + text + '"';
}

using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

inline void Log(std::string_view event, LogFields fields = {}) {
  std::string line(event);
  for (const auto& [key, value] : fields) {
    line += ' ';
    line += key;
    line += '=';
    line += LogValue(value);
  }
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace steelyard::controlplane
