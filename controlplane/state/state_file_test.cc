// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/state_file.h"

#include <gtest/gtest.h>

#include <limits>

#include "controlplane/config/test_states.h"

namespace steelyard::controlplane {
namespace {

TEST(StateFile, DecodingUndoesEncoding) {
  RandomStates states(1);
  for (uint64_t generation = 1; generation < 200; ++generation) {
    const v1::DesiredState state = states.Next();
    const auto decoded = DecodeStateFile(EncodeStateFile(generation, state), generation);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->DebugString(), state.DebugString());
  }
}

TEST(StateFile, EveryFlippedBitIsFound) {
  const std::string good = EncodeStateFile(7, GoodState());
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeStateFile(bad, 7)) << bit;
  }
}

TEST(StateFile, EveryCutIsFound) {
  const std::string good = EncodeStateFile(7, GoodState());
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(DecodeStateFile(std::string_view(good).substr(0, length), 7)) << length;
  EXPECT_FALSE(DecodeStateFile(good + '\0', 7));
}

TEST(StateFile, AnotherGenerationsFileIsRefused) {
  EXPECT_FALSE(DecodeStateFile(EncodeStateFile(7, GoodState()), 8));
}

TEST(StateFile, AnotherFormatIsNotCalledDamage) {
  EXPECT_EQ(DecodeStateFile("steelyard-state 2 x\n", 1).error().message,
            "written in a format that this version does not know");
}

TEST(StateFile, NamesSortAsNumbers) {
  EXPECT_EQ(StateFileName(42), "generation-00000000000000000042.state");
  EXPECT_LT(StateFileName(9), StateFileName(10));
  for (const uint64_t generation : {uint64_t{1}, std::numeric_limits<uint64_t>::max()})
    EXPECT_EQ(GenerationOfFileName(StateFileName(generation)), generation);
}

TEST(StateFile, OtherNamesAreNone) {
  for (const char* name :
       {"", "next.tmp", "generation-42.state", "generation-00000000000000000042.state~",
        "generation-0000000000000000004x.state", "generation-99999999999999999999.state"})
    EXPECT_EQ(GenerationOfFileName(name), 0u) << name;
}

}  // namespace
}  // namespace steelyard::controlplane
