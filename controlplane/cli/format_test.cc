// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/format.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <limits>

namespace steelyard::controlplane::cli {
namespace {

TEST(FormatBytes, HasOneDecimalBelowTenUnitsAndNoneAbove) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(10 * 1024), "10 KiB");
  EXPECT_EQ(FormatBytes(1024 * 1024 - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(12ull << 30), "12 GiB");
  EXPECT_EQ(FormatBytes(std::numeric_limits<uint64_t>::max()), "16 EiB");
}

TEST(FormatBytes, IsNeverFurtherThanOneInTwentyFromTheTruth) {
  const std::string units = "BKMGTPE";
  for (uint64_t bytes = 1; bytes < 1ull << 62; bytes += bytes / 7 + 1) {
    const std::string text = FormatBytes(bytes);
    const size_t space = text.find(' ');
    double value = std::atof(text.c_str());
    for (size_t unit = units.find(text[space + 1]); unit > 0; --unit) value *= 1024;
    EXPECT_NEAR(value, static_cast<double>(bytes), static_cast<double>(bytes) / 20) << text;
    EXPECT_LE(text.size(), 8u) << text;
  }
}

TEST(FormatDuration, ShowsTheTwoLargestUnits) {
  EXPECT_EQ(FormatDuration(0), "0ms");
  EXPECT_EQ(FormatDuration(999), "999ms");
  EXPECT_EQ(FormatDuration(1999), "1s");
  EXPECT_EQ(FormatDuration(59'999), "59s");
  EXPECT_EQ(FormatDuration(185'000), "3m05s");
  EXPECT_EQ(FormatDuration(7'800'000), "2h10m");
  EXPECT_EQ(FormatDuration((4 * 24 + 3) * 3'600'000ull), "4d3h");
}

TEST(FormatAge, CountsFromThenUntilNow) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  EXPECT_EQ(FormatAge(static_cast<uint64_t>(now.count()) - 2 * 3'600'000 - 30'000), "2h00m");
  EXPECT_EQ(FormatAge(static_cast<uint64_t>(now.count()) + 1'000'000), "0ms");
  EXPECT_EQ(FormatAge(0), "-");
}

TEST(FormatEndpoint, BracketsIpv6) {
  EXPECT_EQ(FormatEndpoint("192.0.2.1", 80), "192.0.2.1:80");
  EXPECT_EQ(FormatEndpoint("2001:db8::1", 80), "[2001:db8::1]:80");
  EXPECT_EQ(FormatEndpoint(v1::Endpoint()), "-");
}

}  // namespace
}  // namespace steelyard::controlplane::cli
