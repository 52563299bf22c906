// SPDX-License-Identifier: Apache-2.0
//
// SessionMemory: one worker's session table's memory, outside DPDK's heap. Zeroed, page-aligned,
// there for as long as the object.
#pragma once

#include <cstddef>
#include <span>

#include "net/result.h"

namespace steelyard {

class SessionMemory {
 public:
  // With huge pages every one is reserved now, so that none is missing later; without them the
  // kernel is asked to use transparent ones and hands out memory as it is touched.
  static net::Result<SessionMemory> Map(size_t bytes, bool use_huge_pages);
  ~SessionMemory();
  SessionMemory(SessionMemory&& other) noexcept;
  SessionMemory& operator=(SessionMemory&&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  explicit SessionMemory(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes_;
};

}  // namespace steelyard
