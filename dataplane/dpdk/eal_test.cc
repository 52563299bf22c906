// SPDX-License-Identifier: Apache-2.0
#include "dpdk/eal.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace steelyard::dpdk {
namespace {

bool Has(const std::vector<std::string>& arguments, const std::string& wanted) {
  return std::find(arguments.begin(), arguments.end(), wanted) != arguments.end();
}

// The argument behind `name`.
std::string ValueOf(const std::vector<std::string>& arguments, const std::string& name) {
  const auto at = std::find(arguments.begin(), arguments.end(), name);
  return at == arguments.end() || at + 1 == arguments.end() ? "" : *(at + 1);
}

TEST(EalArguments, LcoresAreNumberedFromTheMainCoreOn) {
  const auto arguments = EalArguments({.main_core = 4, .worker_cores = {6, 200}}, 1);
  EXPECT_EQ(ValueOf(arguments, "--lcores"), "0@4,1@6,2@200");
  EXPECT_EQ(ValueOf(arguments, "--main-lcore"), "0");
}

TEST(EalArguments, NoPciDeviceIsTouched) {
  EXPECT_TRUE(Has(EalArguments({}, 1), "--no-pci"));
  const auto arguments = EalArguments({.pci_addresses = {"0000:03:00.0", "0000:03:00.1"}}, 1);
  EXPECT_FALSE(Has(arguments, "--no-pci"));
  EXPECT_EQ(ValueOf(arguments, "-a"), "ffff:ff:1f.7");
}

TEST(EalArguments, MemoryIsOfOneKind) {
  const auto huge = EalArguments({.use_huge_pages = true, .memory_mib = 512}, 1);
  EXPECT_TRUE(Has(huge, "--in-memory"));
  EXPECT_FALSE(Has(huge, "--no-huge"));
  EXPECT_EQ(ValueOf(huge, "-m"), "512");
  const auto plain = EalArguments({.use_huge_pages = false, .memory_mib = 64}, 1);
  EXPECT_TRUE(Has(plain, "--no-huge"));
  EXPECT_FALSE(Has(plain, "--in-memory"));
}

TEST(EalArguments, PluginsAreLoadedInTheirOrder) {
  EXPECT_FALSE(Has(EalArguments({}, 1), "-d"));
  const auto arguments = EalArguments({.plugins = {"/b.so", "/a.so"}}, 1);
  EXPECT_EQ(ValueOf(arguments, "-d"), "/b.so");
  EXPECT_EQ(std::count(arguments.begin(), arguments.end(), "-d"), 2);
  EXPECT_TRUE(Has(arguments, "/a.so"));
}

TEST(EalArguments, TwoProcessesShareNothing) {
  EXPECT_NE(ValueOf(EalArguments({}, 1), "--file-prefix"),
            ValueOf(EalArguments({}, 2), "--file-prefix"));
}

}  // namespace
}  // namespace steelyard::dpdk
