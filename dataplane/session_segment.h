// SPDX-License-Identifier: Apache-2.0
//
// SessionSegment: the file that holds one worker's session table, behind a header that says what it
// is. The next process maps it and finds the sessions (core/session_adoption.h). Whatever is not a
// segment of this very layout and boot, whole, is refused.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "core/key_hash.h"
#include "core/session_table.h"
#include "mapped_file.h"

namespace steelyard {

class SessionSegment {
 public:
  struct Identity {
    uint32_t worker_index = 0;
    core::SessionCapacity capacity;
    core::HashSecret secret;
  };
  // "worker-0.262144-131072.sessions".
  static std::string FileName(const Identity& identity);

  static net::Result<SessionSegment> Create(const std::string& directory, const Identity& identity);
  // The error is the reason only.
  static net::Result<SessionSegment> Open(const std::string& path);

  const Identity& identity() const { return identity_; }
  const std::string& path() const { return file_.path(); }
  std::span<std::byte> table_memory() const;

  // When the worker looked for packets last, CLOCK_BOOTTIME; 0: never. It has a cache line of its
  // own. The worker's thread writes it.
  std::atomic<uint64_t>& last_poll_ns() const;
  // Of the core::Steering by which every session in here is home; 0: not all of them are.
  uint64_t steering_fingerprint() const;
  void set_steering_fingerprint(uint64_t fingerprint);

 private:
  struct Header;
  SessionSegment(MappedFile file, const Identity& identity)
      : file_(std::move(file)), identity_(identity) {}
  Header& header() const;

  MappedFile file_;
  Identity identity_;
};

}  // namespace steelyard
