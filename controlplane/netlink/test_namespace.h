// SPDX-License-Identifier: Apache-2.0
//
// For tests only: an own, empty network namespace for the process, and a second one as a neighbour
// across a veth pair. Needs root and `ip`; a test that cannot have it is skipped with the reason.
#pragma once

#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>

namespace steelyard::controlplane {

class NamespaceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to make a network namespace";
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "cannot make a network namespace";
    Ip("link set lo up");
    if (HasFailure()) GTEST_SKIP() << "needs the ip command";
  }

  void TearDown() override {
    if (peer_ <= 0) return;
    kill(peer_, SIGKILL);
    waitpid(peer_, nullptr, 0);
  }

  void Ip(const std::string& arguments) {
    EXPECT_EQ(std::system(("ip " + arguments).c_str()), 0) << arguments;
  }

  // In the neighbour's namespace.
  void PeerIp(const std::string& arguments) {
    const std::string enter = "nsenter --net=/proc/" + std::to_string(peer_) + "/ns/net ip ";
    EXPECT_EQ(std::system((enter + arguments).c_str()), 0) << arguments;
  }

  // steel0 here with 192.0.2.1/24 and 2001:db8::1/64, its other end there with .2 and ::2.
  void MakeNeighbour() {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    peer_ = fork();
    if (peer_ == 0) {
      const char ok = unshare(CLONE_NEWNET) == 0 ? '1' : '0';
      if (write(ready[1], &ok, 1) != 1) _exit(1);
      while (true) pause();
    }
    char ok = '0';
    ASSERT_EQ(read(ready[0], &ok, 1), 1);
    ASSERT_EQ(ok, '1');
    close(ready[0]);
    close(ready[1]);
    Ip("link add steel0 type veth peer name eth0 netns " + std::to_string(peer_));
    Ip("addr add 192.0.2.1/24 dev steel0");
    Ip("addr add 2001:db8::1/64 dev steel0 nodad");
    PeerIp("addr add 192.0.2.2/24 dev eth0");
    PeerIp("addr add 2001:db8::2/64 dev eth0 nodad");
    Ip("link set steel0 up");
    PeerIp("link set eth0 up");
  }

  bool RunUntil(const std::function<bool()>& condition,
                std::chrono::milliseconds limit = std::chrono::seconds(3)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  static net::IpAddress Address(const char* text) { return *net::ParseIpAddress(text); }

  boost::asio::io_context io_;
  pid_t peer_ = 0;
};

}  // namespace steelyard::controlplane
