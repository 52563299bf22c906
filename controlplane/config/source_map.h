// SPDX-License-Identifier: Apache-2.0
//
// Where in a file each value of a configuration stands, so that an error about
// `services[2].backends[0].port`, found by whoever and wherever, can be shown as file:line:column.
// Owned by its reader; const calls from any thread.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "controlplane.pb.h"

namespace steelyard::controlplane {

// Counted from 1. Line 0: the file as a whole.
struct Position {
  int line = 0;
  int column = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};

class SourceMap {
 public:
  void Set(const std::string& path, Position position) { positions_[path] = position; }
  // Of the path, or of its nearest parent that is known.
  Position Find(std::string_view path) const;

 private:
  std::unordered_map<std::string, Position> positions_;
};

// `services[2].backends` of `services[2].backends[0]`; empty of `services`.
std::string_view ParentPath(std::string_view path);

// One thing wrong with a file.
struct Fault {
  Position position;
  std::string path;  // empty: the file as a whole
  std::string message;
};

// services.yaml:12:15: services[2].port: 70000 is not within 1 to 65535
std::string FormatFault(const std::string& file, const Fault& fault);
std::string FormatViolation(const std::string& file, const SourceMap& map,
                            const v1::Violation& violation);

// One a line, in the order of the file, each line ended.
std::string FormatFaults(const std::string& file, std::vector<Fault> faults);

}  // namespace steelyard::controlplane
