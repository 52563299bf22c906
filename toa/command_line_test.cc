// SPDX-License-Identifier: Apache-2.0
#include "toa/command_line.h"

#include <gtest/gtest.h>

#include <set>

namespace steelyard::toa {
namespace {

net::Result<CommandLine> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "steelyard-toa");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

std::string ErrorOf(const std::vector<const char*>& arguments) {
  const net::Result<CommandLine> result = Parse(arguments);
  return result ? "" : result.error().message;
}

TEST(CommandLineTest, TakesAddressesAndPrefixesOfBothFamilies) {
  const auto result = Parse({"--cgroup", "/c", "--local-address", "10.0.2.100", "--local-address",
                             "fd00:2::/64", "--local-address", "10.0.2.100/32"});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->cgroup_path, "/c");
  EXPECT_EQ(result->kind, 254);
  std::set<std::string> prefixes;
  for (const net::Prefix& prefix : result->local_addresses) prefixes.insert(ToString(prefix));
  EXPECT_EQ(result->local_addresses.size(), 2u);
  EXPECT_EQ(prefixes, (std::set<std::string>{"10.0.2.100/32", "fd00:2::/64"}));
}

TEST(CommandLineTest, EveryKindIsTakenOrRefusedAsTheRegistrySays) {
  const std::set<int> refused = {0, 1, 2, 3, 4, 5, 8, 19, 29, 30, 34};
  for (int kind = -1; kind <= 256; ++kind) {
    const std::string text = std::to_string(kind);
    const bool is_fine = kind >= 0 && kind <= 255 && refused.count(kind) == 0;
    const auto result =
        Parse({"--cgroup", "/c", "--local-address", "10.0.0.1", "--kind", text.c_str()});
    ASSERT_EQ(result.ok(), is_fine) << kind;
    EXPECT_TRUE(!is_fine || result->kind == kind) << kind;
  }
}

TEST(CommandLineTest, ErrorsNameTheOption) {
  EXPECT_NE(ErrorOf({"--local-address", "10.0.0.1"}).find("--cgroup"), std::string::npos);
  EXPECT_NE(ErrorOf({"--cgroup", "/c"}).find("--local-address"), std::string::npos);
  const std::string bad = ErrorOf({"--cgroup", "/c", "--local-address", "10.0.0.256"});
  EXPECT_NE(bad.find("--local-address 10.0.0.256: "), std::string::npos) << bad;
  const std::string host_bits = ErrorOf({"--cgroup", "/c", "--local-address", "10.0.0.1/24"});
  EXPECT_NE(host_bits.find("10.0.0.1/24"), std::string::npos) << host_bits;
  EXPECT_NE(ErrorOf({"--cgroup", "/c", "--local-address", "10.0.0.1", "stray"}), "");
  EXPECT_NE(ErrorOf({"--unknown"}).find("unknown"), std::string::npos);
}

TEST(CommandLineTest, HelpAndVersionNeedNothingElse) {
  EXPECT_TRUE(Parse({"--help"})->wants_help);
  EXPECT_TRUE(Parse({"--version"})->wants_version);
  for (const char* option : {"--cgroup", "--local-address", "--kind", "--help", "--version"}) {
    EXPECT_NE(HelpText().find(option), std::string::npos) << option;
  }
}

}  // namespace
}  // namespace steelyard::toa
