// SPDX-License-Identifier: Apache-2.0
//
// A plain directory with a cgroup.procs file of our own stands for the cgroup.
#include "toa/listeners.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "toa/file_descriptor.h"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgot to say that these are C
}

namespace steelyard::toa {
namespace {

namespace fs = std::filesystem;

class ListenersTest : public testing::Test {
 protected:
  void SetUp() override {
    const FileDescriptor self(pidfd_open(getpid(), 0));
    const FileDescriptor copy(pidfd_getfd(self.get(), STDERR_FILENO, 0));
    if (!copy.is_open()) GTEST_SKIP() << "pidfd_getfd is not allowed here";
    std::string name = testing::TempDir() + "listeners_test.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    cgroup_ = name;
    fs::create_directories(cgroup_ / "below" / "further");
    std::ofstream(cgroup_ / "below" / "further" / "cgroup.procs") << getpid() << "\n";
  }
  void TearDown() override {
    if (!cgroup_.empty()) fs::remove_all(cgroup_);
  }

  fs::path cgroup_;
};

FileDescriptor TcpSocket() {
  return FileDescriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

int SaveSyn(const FileDescriptor& socket) {
  int value = -1;
  socklen_t size = sizeof(value);
  getsockopt(socket.get(), IPPROTO_TCP, TCP_SAVE_SYN, &value, &size);
  return value;
}

TEST_F(ListenersTest, OnlyListeningTcpSocketsAreChanged) {
  const FileDescriptor listening = TcpSocket();
  ASSERT_EQ(listen(listening.get(), 1), 0);
  const FileDescriptor idle = TcpSocket();
  const FileDescriptor datagram(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(SaveSynsOfListeners(cgroup_), 1);
  EXPECT_EQ(SaveSyn(listening), 1);
  EXPECT_EQ(SaveSyn(idle), 0);
  EXPECT_EQ(SaveSynsOfListeners(cgroup_), 0) << "a second time there is nothing to do";
}

TEST_F(ListenersTest, AServersOwnChoiceStays) {
  const FileDescriptor listening = TcpSocket();
  const int with_link_header = 2;
  ASSERT_EQ(setsockopt(listening.get(), IPPROTO_TCP, TCP_SAVE_SYN, &with_link_header, sizeof(int)),
            0);
  ASSERT_EQ(listen(listening.get(), 1), 0);
  EXPECT_EQ(SaveSynsOfListeners(cgroup_), 0);
  EXPECT_EQ(SaveSyn(listening), 2);
}

TEST_F(ListenersTest, ProcessesThatAreGoneArePassedOver) {
  std::ofstream(cgroup_ / "cgroup.procs") << "2147483647\n";
  EXPECT_EQ(SaveSynsOfListeners(cgroup_), 0);
  EXPECT_EQ(SaveSynsOfListeners(cgroup_ / "missing"), 0);
}

}  // namespace
}  // namespace steelyard::toa
