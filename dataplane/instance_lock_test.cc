// SPDX-License-Identifier: Apache-2.0
#include "instance_lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

namespace steelyard {
namespace {

class InstanceLockTest : public testing::Test {
 protected:
  ~InstanceLockTest() override { std::filesystem::remove_all(directory_); }

  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / ("instance_lock_test_" + std::to_string(getpid()));
  const std::string socket_ = directory_ / "new" / "dataplane.sock";
};

TEST_F(InstanceLockTest, OnlyOneAtATime) {
  {
    const auto first = InstanceLock::Take(socket_);
    ASSERT_TRUE(first) << first.error().message;
    const auto second = InstanceLock::Take(socket_);
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("another steelyard-dataplane"), std::string::npos);
    EXPECT_TRUE(InstanceLock::Take(socket_ + "2"));
  }
  EXPECT_TRUE(InstanceLock::Take(socket_));
}

TEST_F(InstanceLockTest, APatientOneWaitsForTheOther) {
  auto first = std::make_optional(InstanceLock::Take(socket_));
  ASSERT_TRUE(*first);
  EXPECT_FALSE(InstanceLock::Take(socket_, std::chrono::milliseconds(5)));
  std::thread ending([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    first.reset();
  });
  const auto second = InstanceLock::Take(socket_, std::chrono::minutes(1));
  ending.join();
  EXPECT_TRUE(second) << second.error().message;
}

TEST_F(InstanceLockTest, APlaceThatCannotBeIsAnError) {
  const auto lock = InstanceLock::Take("/proc/no/such.sock");
  ASSERT_FALSE(lock);
  EXPECT_NE(lock.error().message.find("/proc/no/such.sock.lock"), std::string::npos);
}

}  // namespace
}  // namespace steelyard
