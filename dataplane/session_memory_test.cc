// SPDX-License-Identifier: Apache-2.0
#include "session_memory.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace steelyard {
namespace {

TEST(SessionMemory, IsZeroedAlignedAndLargeEnough) {
  const auto memory = SessionMemory::Map(3'000'001, false);
  ASSERT_TRUE(memory);
  EXPECT_GE(memory->bytes().size(), 3'000'001u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory->bytes().data()) % 4096, 0u);
  EXPECT_TRUE(std::all_of(memory->bytes().begin(), memory->bytes().end(),
                          [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST(SessionMemory, TooMuchIsAnErrorThatSaysWhatToDo) {
  const auto memory = SessionMemory::Map(size_t{1} << 56, false);
  ASSERT_FALSE(memory);
  EXPECT_NE(memory.error().message.find("--session-capacity"), std::string::npos);
}

}  // namespace
}  // namespace steelyard
