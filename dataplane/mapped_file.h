// SPDX-License-Identifier: Apache-2.0
//
// MappedFile: a file of a memory file system (tmpfs or hugetlbfs) in this process's memory, shared
// with whoever maps it next. What was written there outlives the process, however it ends.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "net/result.h"

namespace steelyard {

class MappedFile {
 public:
  // A new file of zeros, in the place of any other; its memory is there from the beginning, so that
  // none is missing later. The size is rounded up to the file system's pages.
  static net::Result<MappedFile> Create(const std::string& path, size_t bytes);
  // All of a file that is there.
  static net::Result<MappedFile> Open(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, std::span<std::byte> bytes)
      : path_(std::move(path)), bytes_(bytes) {}
  static net::Result<MappedFile> Map(const std::string& path, int fd, size_t bytes);
  std::string path_;
  std::span<std::byte> bytes_;
};

// "" where it cannot be read.
std::string BootId();

}  // namespace steelyard
