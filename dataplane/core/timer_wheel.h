// SPDX-License-Identifier: Apache-2.0
//
// TimerWheel: when to look at a session again. A hashed wheel (Varghese and Lauck, 1987, scheme 6)
// of doubly linked lists over preallocated links; arming, disarming and moving are O(1). Lazy: a
// packet only stamps last_seen, and the visitor, when a session's slot comes round, says when to
// look again. Times are milliseconds modulo 2^32 and compared by signed difference. Owned by one
// worker.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace steelyard::core {

// a is before b, for times less than 2^31 ms (24 days) apart.
constexpr bool TimeBefore(uint32_t a_ms, uint32_t b_ms) {
  return static_cast<int32_t>(a_ms - b_ms) < 0;
}

struct TimerLink {
  uint32_t next;      // index + 1; 0: last
  uint32_t previous;  // index + 1, or kFirst | slot
};

class TimerWheel {
 public:
  static constexpr uint32_t kSlotMs = 128;
  static constexpr uint32_t kSlots =
      16384;  // horizon 35 minutes; later times are looked at again then

  // `heads` has kSlots zeros, `links` one zeroed element a timer.
  TimerWheel(std::span<uint32_t> heads, std::span<TimerLink> links)
      : heads_(heads), links_(links) {}

  // Forgets every timer, and whatever else stood in the memory.
  void Clear() { std::fill(heads_.begin(), heads_.end(), 0); }

  // Where time stands; before the first Arm.
  void Start(uint32_t now_ms) { current_slot_ = now_ms / kSlotMs; }

  // Not armed before.
  void Arm(uint32_t timer, uint32_t when_ms);
  void Disarm(uint32_t timer);
  void Move(uint32_t timer, uint32_t when_ms) {
    Disarm(timer);
    Arm(timer, when_ms);
  }

  // Visits timers whose slot has passed, at most `budget` of them; each is disarmed before
  // visit(timer) is called, which may arm it (or others) again.
  template <typename Visit>
  void Advance(uint32_t now_ms, uint32_t budget, Visit&& visit) {
    const uint32_t now_slot = now_ms / kSlotMs;
    uint32_t empty_slots_left = kEmptySlotsPerAdvance;
    while (static_cast<int32_t>(SlotDistance(now_slot)) > 0) {
      uint32_t& head = heads_[current_slot_ % kSlots];
      while (head != 0) {
        if (budget-- == 0) return;
        const uint32_t timer = head - 1;
        Disarm(timer);
        visit(timer);
      }
      if (empty_slots_left-- == 0) return;
      current_slot_ = NextSlot(current_slot_);
    }
  }

 private:
  static constexpr uint32_t kFirst = 1u << 31;
  static constexpr uint32_t kEmptySlotsPerAdvance = 64;
  static constexpr uint32_t kSlotNumbers = (1ull << 32) / kSlotMs;  // slot numbers wrap here

  static constexpr uint32_t NextSlot(uint32_t slot) { return (slot + 1) % kSlotNumbers; }
  // Slots from the current one to `slot`, signed.
  int32_t SlotDistance(uint32_t slot) const {
    const uint32_t distance = (slot - current_slot_) % kSlotNumbers;
    return distance < kSlotNumbers / 2
               ? static_cast<int32_t>(distance)
               : static_cast<int32_t>(distance) - static_cast<int32_t>(kSlotNumbers);
  }

  std::span<uint32_t> heads_;
  std::span<TimerLink> links_;
  uint32_t current_slot_ = 0;  // not visited yet
};

}  // namespace steelyard::core
