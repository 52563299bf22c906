// SPDX-License-Identifier: Apache-2.0
#include "control/slot_table.h"

namespace steelyard::control {

SlotTable::SlotTable(uint32_t capacity, std::function<bool(uint32_t)> is_referenced)
    : capacity_(capacity), is_referenced_(std::move(is_referenced)) {}

void SlotTable::Inherit(const std::map<uint32_t, std::string>& names) {
  for (const auto& [slot, name] : names) {
    for (; never_used_ < slot; ++never_used_) free_.push_back(never_used_);
    never_used_ = slot + 1;
    const auto [at, is_new] = released_.emplace(name, slot);
    if (is_new) continue;
    // It came back under another number, as nothing referred to the one of before.
    const bool keeps_new = is_referenced_(slot);
    free_.push_back(keeps_new ? at->second : slot);
    if (keeps_new) at->second = slot;
  }
}

std::optional<uint32_t> SlotTable::Acquire(const std::string& name) {
  if (const auto at = in_use_.find(name); at != in_use_.end()) return at->second;
  if (const auto at = released_.find(name); at != released_.end()) {
    const uint32_t slot = at->second;
    released_.erase(at);
    in_use_.emplace(name, slot);
    return slot;
  }
  if (never_used_ < capacity_) {
    if (!record(never_used_, name)) return std::nullopt;
    in_use_.emplace(name, never_used_);
    return never_used_++;
  }
  if (free_.empty()) ReclaimUnreferenced();
  if (free_.empty()) return std::nullopt;
  const uint32_t slot = free_.back();
  if (!record(slot, name)) return std::nullopt;
  free_.pop_back();
  on_reuse(slot);
  in_use_.emplace(name, slot);
  return slot;
}

void SlotTable::Release(const std::string& name) {
  const auto at = in_use_.find(name);
  if (at == in_use_.end()) return;
  released_.insert_or_assign(name, at->second);
  in_use_.erase(at);
}

void SlotTable::ReclaimUnreferenced() {
  for (auto at = released_.begin(); at != released_.end();) {
    if (is_referenced_(at->second)) {
      ++at;
    } else {
      free_.push_back(at->second);
      at = released_.erase(at);
    }
  }
}

}  // namespace steelyard::control
