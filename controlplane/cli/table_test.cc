// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace steelyard::controlplane::cli {
namespace {

TEST(Table, AlignsColumnsLeftAndRightWithoutTrailingSpaces) {
  std::ostringstream out;
  Table table(out, {{"NAME"}, {"COUNT", kRight}, {"NOTE"}});
  table.Add({"a", "1", "x"});
  table.Add({"longer", "12345678", ""});
  table.Flush();
  EXPECT_EQ(out.str(),
            "NAME       COUNT  NOTE\n"
            "a              1  x\n"
            "longer  12345678\n");
}

TEST(Table, WithoutRowsItIsTheTitles) {
  std::ostringstream out;
  Table table(out, {{"NAME"}, {"COUNT", kRight}});
  table.Flush();
  EXPECT_EQ(out.str(), "NAME  COUNT\n");
}

TEST(Table, LaterFlushesKeepTheWidthsAndRepeatNoTitle) {
  std::ostringstream out;
  Table table(out, {{"A"}, {"B"}});
  table.Add({"wide cell", "x"});
  table.Flush();
  table.Add({"c", "y"});
  table.Flush();
  EXPECT_EQ(out.str(),
            "A          B\n"
            "wide cell  x\n"
            "c          y\n");
}

TEST(Table, ControlCharactersCannotReachTheTerminal) {
  std::ostringstream out;
  Table table(out, {{"A"}});
  table.Add({"\x1b[31mred\n\x7f"});
  table.Flush();
  EXPECT_EQ(out.str(), "A\n?[31mred??\n");
}

}  // namespace
}  // namespace steelyard::controlplane::cli
