// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/vip_record.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace steelyard::controlplane {
namespace {

class VipRecordTest : public testing::Test {
 protected:
  VipRecordTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "steelyard-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~VipRecordTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(VipRecordTest, RemembersAcrossInstances) {
  const std::set<VipPlace> places = {{*net::ParseIpAddress("192.0.2.1"), "steel0"},
                                     {*net::ParseIpAddress("2001:db8::1"), "lo"}};
  VipRecord first(folder_ + "/vips");
  ASSERT_TRUE(first.Load());
  EXPECT_TRUE(first.places().empty());
  ASSERT_TRUE(first.Store(places));
  VipRecord second(folder_ + "/vips");
  ASSERT_TRUE(second.Load());
  EXPECT_EQ(second.places(), places);
}

TEST_F(VipRecordTest, NamesTheLineThatMakesNoSense) {
  for (const char* line : {"192.0.2.1", "192.0.2.1 steel0 steel1", "steel0 192.0.2.1"}) {
    std::ofstream(folder_ + "/vips") << "192.0.2.9 lo\n" << line << '\n';
    VipRecord record(folder_ + "/vips");
    const net::Status status = record.Load();
    ASSERT_FALSE(status) << line;
    EXPECT_EQ(status.error().message, folder_ + "/vips:2: expected an address and an interface");
    EXPECT_TRUE(record.places().empty());
  }
}

TEST_F(VipRecordTest, KeepsWhatItHadWhenItCannotWrite) {
  VipRecord record(folder_ + "/missing/vips");
  EXPECT_FALSE(record.Store({{*net::ParseIpAddress("192.0.2.1"), "lo"}}));
  EXPECT_TRUE(record.places().empty());
}

}  // namespace
}  // namespace steelyard::controlplane
