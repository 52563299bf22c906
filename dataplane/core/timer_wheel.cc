// SPDX-License-Identifier: Apache-2.0
#include "core/timer_wheel.h"

#include <algorithm>

namespace steelyard::core {

void TimerWheel::Arm(uint32_t timer, uint32_t when_ms) {
  // The slot after the deadline's: a timer is never visited early, and never in the slot being
  // visited.
  const int32_t distance = SlotDistance(NextSlot(when_ms / kSlotMs));
  const uint32_t ahead = std::clamp<int32_t>(distance, 1, kSlots - 1);
  const uint32_t slot = (current_slot_ + ahead) % kSlots;
  TimerLink& link = links_[timer];
  link.next = heads_[slot];
  link.previous = kFirst | slot;
  if (link.next != 0) links_[link.next - 1].previous = timer + 1;
  heads_[slot] = timer + 1;
}

void TimerWheel::Disarm(uint32_t timer) {
  const TimerLink link = links_[timer];
  if (link.previous & kFirst)
    heads_[link.previous & ~kFirst] = link.next;
  else
    links_[link.previous - 1].next = link.next;
  if (link.next != 0) links_[link.next - 1].previous = link.previous;
}

}  // namespace steelyard::core
