// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/suggestion.h"

#include <gtest/gtest.h>

#include <vector>

namespace steelyard::controlplane::cli {
namespace {

TEST(EditDistance, CountsEdits) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("apply", "apply"), 0u);
  EXPECT_EQ(EditDistance("aply", "apply"), 1u);
  EXPECT_EQ(EditDistance("appyl", "apply"), 1u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
}

TEST(EditDistance, IsSymmetric) {
  const std::vector<std::string> words = {"", "a", "ab", "ba", "stats", "status", "service list"};
  for (const std::string& a : words) {
    for (const std::string& b : words) EXPECT_EQ(EditDistance(a, b), EditDistance(b, a));
  }
}

TEST(Nearest, FindsWhatIsNearAndNothingElse) {
  const std::vector<std::string> candidates = {"apply", "diff", "service list", "service show"};
  EXPECT_EQ(Nearest("aply", candidates), "apply");
  EXPECT_EQ(Nearest("service lits", candidates), "service list");
  EXPECT_EQ(Nearest("dif", candidates), "diff");
  EXPECT_EQ(Nearest("xyz", candidates), "");
  EXPECT_EQ(Nearest("", candidates), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'a'), candidates), "");
}

}  // namespace
}  // namespace steelyard::controlplane::cli
