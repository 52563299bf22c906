// SPDX-License-Identifier: Apache-2.0
//
// SlotJournal: which names the numbers in sessions stand for, in a file that outlives the process
// as the sessions do. An assignment is in the file before a session can carry its number; the
// length of what counts is written last, so that a killed process leaves it whole. Main thread
// only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "mapped_file.h"

namespace steelyard {

class SlotJournal {
 public:
  enum class Kind : uint8_t { kService, kBackend };
  static constexpr size_t kKindCount = 2;

  // Of "slots" in the directory; a new one where there is none. The error names the file and why it
  // cannot be used.
  static net::Result<SlotJournal> Open(const std::string& directory);
  // In the place of whatever is there.
  static net::Result<SlotJournal> Create(const std::string& directory);

  // False: there is no memory for it.
  bool Record(Kind kind, uint32_t slot, const std::string& name);
  // The last that each number was given to.
  const std::map<uint32_t, std::string>& assignments(Kind kind) const {
    return names_[static_cast<size_t>(kind)];
  }

 private:
  struct Header;
  SlotJournal(std::string path, MappedFile file) : path_(std::move(path)), file_(std::move(file)) {}
  Header& header() const;
  net::Status Read();
  bool Append(Kind kind, uint32_t slot, std::string_view name);
  // A new file, of what counts and twice as long, in the place of this one.
  bool Rewrite();

  std::string path_;
  MappedFile file_;
  std::map<uint32_t, std::string> names_[kKindCount];
};

}  // namespace steelyard
