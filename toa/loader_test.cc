// SPDX-License-Identifier: Apache-2.0
//
// What needs neither root nor a cgroup. The eBPF programs themselves are tried in
// test/scenario/test_toa.py.
#include "toa/loader.h"

#include <gtest/gtest.h>

namespace steelyard::toa {
namespace {

std::string ErrorOf(const std::string& cgroup_path) {
  const auto result = Attachment::Attach(cgroup_path, {}, 254);
  return result ? "" : result.error().message;
}

TEST(LoaderTest, AMissingCgroupIsNamed) {
  const std::string error = ErrorOf("/no/such/cgroup");
  EXPECT_NE(error.find("--cgroup /no/such/cgroup: No such file or directory"), std::string::npos)
      << error;
}

TEST(LoaderTest, ADirectoryThatIsNoCgroupIsRefused) {
  const std::string error = ErrorOf("/");
  EXPECT_NE(error.find("not a cgroup v2 directory"), std::string::npos) << error;
}

TEST(LoaderTest, AFileIsRefused) {
  const std::string error = ErrorOf("/proc/version");
  EXPECT_NE(error.find("Not a directory"), std::string::npos) << error;
}

}  // namespace
}  // namespace steelyard::toa
