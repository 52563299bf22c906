// SPDX-License-Identifier: Apache-2.0
//
// Inheritance: what a dataplane that starts has from an earlier one, and what it leaves to the
// next.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace steelyard::control {

struct Inheritance {
  uint64_t adopted_sessions = 0;
  uint64_t dropped_sessions = 0;  // found, and not adopted
  uint64_t unpolled_ns = 0;       // nobody looked for packets for so long; 0: not known

  // The names that slots in sessions stand for.
  using Names = std::map<uint32_t, std::string>;
  Names services, backends;
  // Called before a slot is used under a name; false: it cannot be kept for the next process.
  using Record = std::function<bool(uint32_t slot, const std::string& name)>;
  Record record_service = [](uint32_t, const std::string&) { return true; };
  Record record_backend = [](uint32_t, const std::string&) { return true; };
};

}  // namespace steelyard::control
