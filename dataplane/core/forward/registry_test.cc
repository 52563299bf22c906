// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/forward/forwarding_mode.h"

namespace steelyard::core {
namespace {

TEST(ForwardingModeRegistry, FindsEachByItsNameAndItsIndex) {
  for (const ForwardingMode* mode : ForwardingModes()) {
    EXPECT_EQ(FindForwardingMode(mode->name()), mode);
    EXPECT_EQ(ForwardingModes()[mode->index()], mode);
  }
  EXPECT_EQ(FindForwardingMode("full_nat"), &FullNat());
  EXPECT_EQ(FindForwardingMode("nobody_wrote_this_one"), nullptr);
}

// Sessions of a stopped dataplane keep the number.
TEST(ForwardingModeRegistry, NumbersNeverChange) {
  EXPECT_EQ(FullNat().index(), 0);
}

}  // namespace
}  // namespace steelyard::core
