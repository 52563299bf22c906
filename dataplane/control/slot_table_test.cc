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

TEST(SlotTable, InheritedNamesHaveTheirSlotsAndOthersDoNotGetThem) {
  std::set<uint32_t> referenced = {2};
  SlotTable slots(4, [&](uint32_t slot) { return referenced.contains(slot); });
  slots.Inherit({{0, "a"}, {2, "b"}});
  EXPECT_EQ(*slots.Acquire("a"), 0u);
  std::set<uint32_t> taken;
  for (const char* name : {"c", "d"}) taken.insert(*slots.Acquire(name));
  EXPECT_EQ(taken, (std::set<uint32_t>{1, 3}));
  EXPECT_FALSE(slots.Acquire("e")) << "sessions refer to b's";
  EXPECT_EQ(*slots.Acquire("b"), 2u);
}

TEST(SlotTable, OfTwoInheritedSlotsTheReferencedOneIsTheNames) {
  for (const uint32_t referenced : {0u, 1u}) {
    SlotTable slots(2, [&](uint32_t slot) { return slot == referenced; });
    slots.Inherit({{0, "a"}, {1, "a"}});
    EXPECT_EQ(*slots.Acquire("a"), referenced);
    EXPECT_EQ(*slots.Acquire("b"), 1 - referenced);
  }
}

TEST(SlotTable, WhatCannotBeRecordedIsNotAssigned) {
  SlotTable slots(2, [](uint32_t) { return false; });
  slots.record = [](uint32_t, const std::string& name) { return name != "a"; };
  EXPECT_FALSE(slots.Acquire("a"));
  EXPECT_EQ(*slots.Acquire("b"), 0u);
}

}  // namespace
}  // namespace steelyard::control
