// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/source_map.h"

#include <gtest/gtest.h>

namespace steelyard::controlplane {
namespace {

v1::Violation Violation(const std::string& path, const std::string& message) {
  v1::Violation violation;
  violation.set_path(path);
  violation.set_message(message);
  return violation;
}

TEST(SourceMap, ShowsAViolationAtItsPlace) {
  SourceMap map;
  map.Set("services[2].port", {12, 15});
  EXPECT_EQ(FormatViolation("services.yaml", map,
                            Violation("services[2].port", "70000 is not within 1 to 65535")),
            "services.yaml:12:15: services[2].port: 70000 is not within 1 to 65535");
}

TEST(SourceMap, FallsBackToTheNearestParent) {
  SourceMap map;
  map.Set("services[2]", {9, 5});
  map.Set("services", {1, 11});
  EXPECT_EQ(map.Find("services[2].backends[0].port"), (Position{9, 5}));
  EXPECT_EQ(map.Find("services[3].name"), (Position{1, 11}));
  EXPECT_EQ(map.Find("local_addresses[0]"), Position{});
}

TEST(SourceMap, AFileAsAWholeHasNoLine) {
  EXPECT_EQ(FormatFault("x.yaml", {{}, "", "the file is empty"}), "x.yaml: the file is empty");
}

TEST(SourceMap, FaultsComeInTheOrderOfTheFile) {
  EXPECT_EQ(FormatFaults("x", {{{3, 1}, "c", "z"}, {{1, 9}, "a", "z"}, {{1, 2}, "b", "z"}}),
            "x:1:2: b: z\nx:1:9: a: z\nx:3:1: c: z\n");
}

TEST(SourceMap, ParentsEndAtTheEmptyPath) {
  EXPECT_EQ(ParentPath("services[2].port"), "services[2]");
  EXPECT_EQ(ParentPath("services[2]"), "services");
  EXPECT_EQ(ParentPath("services"), "");
}

}  // namespace
}  // namespace steelyard::controlplane
