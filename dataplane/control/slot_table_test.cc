// SPDX-License-Identifier: Apache-2.0
#include "control/slot_table.h"

#include <gtest/gtest.h>

#include <set>

namespace steelyard::control {
namespace {

TEST(SlotTable, NameKeepsItsSlot) {
  SlotTable slots(4, [](uint32_t) { return false; });
  const uint32_t a = *slots.Acquire("a");
  EXPECT_NE(*slots.Acquire("b"), a);
  EXPECT_EQ(*slots.Acquire("a"), a);
  slots.Release("a");
  EXPECT_EQ(*slots.Acquire("a"), a);
}

TEST(SlotTable, ReferencedSlotIsNotReused) {
  std::set<uint32_t> referenced;
  SlotTable slots(2, [&](uint32_t slot) { return referenced.contains(slot); });
  const uint32_t a = *slots.Acquire("a");
  ASSERT_TRUE(slots.Acquire("b"));
  referenced.insert(a);
  slots.Release("a");
  EXPECT_FALSE(slots.Acquire("c"));
  referenced.clear();
  uint32_t reused = UINT32_MAX;
  slots.on_reuse = [&](uint32_t slot) { reused = slot; };
  EXPECT_EQ(*slots.Acquire("c"), a);
  EXPECT_EQ(reused, a);
}

}  // namespace
}  // namespace steelyard::control
