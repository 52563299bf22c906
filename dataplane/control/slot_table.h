// SPDX-License-Identifier: Apache-2.0
//
// SlotTable: small numbers for things that have names (services, backends), stable while the thing
// is configured and for as long after as sessions may still refer to it. A name that comes back
// before that gets its old number again, and with it its sessions. Main thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace steelyard::control {

class SlotTable {
 public:
  // `is_referenced`: whether any session still refers to a slot.
  SlotTable(uint32_t capacity, std::function<bool(uint32_t)> is_referenced);

  // What an earlier process assigned, whose sessions are still there: as if its names had been
  // released. Before the first Acquire.
  void Inherit(const std::map<uint32_t, std::string>& names);

  // Called with each assignment before it is made; false: it cannot be.
  std::function<bool(uint32_t, const std::string&)> record = [](uint32_t, const std::string&) {
    return true;
  };

  // The name's slot; nothing when the capacity is used up.
  std::optional<uint32_t> Acquire(const std::string& name);
  bool IsInUse(const std::string& name) const { return in_use_.contains(name); }
  // The name is not configured any more.
  void Release(const std::string& name);

  // Called with each slot before it is given to another name than the last one's.
  std::function<void(uint32_t)> on_reuse = [](uint32_t) {};

 private:
  void ReclaimUnreferenced();

  const uint32_t capacity_;
  const std::function<bool(uint32_t)> is_referenced_;
  std::map<std::string, uint32_t> in_use_;
  std::map<std::string, uint32_t> released_;  // sessions may still refer to these
  std::vector<uint32_t> free_;
  uint32_t never_used_ = 0;
};

}  // namespace steelyard::control
