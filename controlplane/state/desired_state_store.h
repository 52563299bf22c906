// SPDX-License-Identifier: Apache-2.0
//
// The generations of the desired state on disk. A state counts once it is there: written to a
// temporary file, synced, renamed, its directory synced. Numbers only grow. A bounded history is
// kept to look back at and to roll back to (by applying an old state again, as a new generation).
//
// The directory holds one file a generation, `generation-00000000000000000042.state`: a line of
// text (format, generation, length and CRC-32 of the rest), then the DesiredState in protobuf's
// encoding. It is locked as long as the store lives, against a second control plane. The states in
// it are taken to be valid: validate before Apply. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane.pb.h"
#include "net/result.h"

namespace steelyard::controlplane {

class DesiredStateStore {
 public:
  static constexpr size_t kDefaultHistory = 100;

  // Makes the directory when it is missing and loads the newest generation. An error when that file
  // cannot be trusted: an older state must not come into force by itself.
  static net::Result<std::unique_ptr<DesiredStateStore>> Open(const std::string& directory,
                                                              size_t history = kDefaultHistory);
  ~DesiredStateStore();
  DesiredStateStore(const DesiredStateStore&) = delete;
  DesiredStateStore& operator=(const DesiredStateStore&) = delete;

  // 0, with an empty state, before the first Apply.
  uint64_t generation() const { return generation_; }
  const v1::DesiredState& state() const { return state_; }

  enum class Outcome {
    kStored,     // as a new generation
    kUnchanged,  // differs in nothing (diff.h) from the current one
    kConflict,   // the current generation is not the expected one
    kFailed,     // it could not be written; the current one stays
  };
  struct Applied {
    Outcome outcome;
    uint64_t generation;              // the current one, after the call
    std::vector<v1::Change> changes;  // from the former state; for kStored only
    std::string error;                // why kFailed
  };
  // `expected_generation` 0: any.
  Applied Apply(const v1::DesiredState& state, uint64_t expected_generation);

  // What Apply would answer with these arguments, doing nothing: kStored for what it would store.
  Applied Preview(const v1::DesiredState& state, uint64_t expected_generation) const;

  // A state of the history; nothing when it was never there or is there no more.
  net::Result<std::optional<v1::DesiredState>> Get(uint64_t generation) const;

  std::vector<uint64_t> Generations() const;  // of the history, oldest first

 private:
  DesiredStateStore(std::string directory, int directory_fd, size_t history);
  net::Status Load();
  net::Status Write(uint64_t generation, const v1::DesiredState& state);
  void ForgetOldest();

  const std::string directory_;
  const int directory_fd_;
  const size_t history_;
  uint64_t generation_ = 0;
  v1::DesiredState state_;
};

}  // namespace steelyard::controlplane
