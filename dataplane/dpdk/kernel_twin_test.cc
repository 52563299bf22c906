// SPDX-License-Identifier: Apache-2.0
//
// In a network namespace of the test's own, which a user namespace makes possible without root.
#include "dpdk/kernel_twin.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>

namespace steelyard::dpdk {
namespace {

constexpr int kNoNamespaces = 77;
const net::MacAddress kMac{{0x02, 0x11, 0x22, 0x33, 0x44, 0x55}};

// Runs `body` in a child process with a network of its own; its result is the child's exit status,
// the number of the step that went wrong or 0.
int InOwnNetwork(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    const bool is_alone = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
    _exit(is_alone && access("/dev/net/tun", R_OK | W_OK) == 0 ? body() : kNoNamespaces);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

ifreq Query(const char* name, unsigned long request_code) {
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  if (ioctl(socket, request_code, &request) < 0) request.ifr_name[0] = '\0';
  close(socket);
  return request;
}

bool SetAddress(const char* name) {
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  auto* address = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
  address->sin_family = AF_INET;
  inet_pton(AF_INET, "192.0.2.1", &address->sin_addr);
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  const bool is_set = ioctl(socket, SIOCSIFADDR, &request) == 0;
  close(socket);
  return is_set;
}

bool HasOurMac(const char* name) {
  const ifreq request = Query(name, SIOCGIFHWADDR);
  return std::memcmp(request.ifr_hwaddr.sa_data, kMac.bytes.data(), 6) == 0;
}

TEST(KernelTwin, IsMadeAsThePortIsAndOutlivesItsOpener) {
  const int failed_step = InOwnNetwork([] {
    {
      const auto twin = KernelTwin::Open("twin0", kMac, 1400, 2);
      if (!twin) return 1;
      if (!HasOurMac("twin0")) return 2;
      if (Query("twin0", SIOCGIFMTU).ifr_mtu != 1400) return 3;
      if ((Query("twin0", SIOCGIFFLAGS).ifr_flags & IFF_UP) == 0) return 4;
      if (!SetAddress("twin0")) return 5;
    }
    if ((Query("twin0", SIOCGIFFLAGS).ifr_flags & IFF_UP) == 0) return 6;
    const auto again = KernelTwin::Open("twin0", kMac, 1500, 1);
    if (!again) return 7;
    const ifreq address = Query("twin0", SIOCGIFADDR);
    return address.ifr_name[0] != '\0' && Query("twin0", SIOCGIFMTU).ifr_mtu == 1500 ? 0 : 8;
  });
  if (failed_step == kNoNamespaces) GTEST_SKIP() << "no network namespaces or taps here";
  EXPECT_EQ(failed_step, 0);
}

TEST(KernelTwin, OneThatIsInUseIsRefused) {
  const int failed_step = InOwnNetwork([] {
    const auto twin = KernelTwin::Open("twin0", kMac, 1500, 1);
    if (!twin) return 1;
    const auto second = KernelTwin::Open("twin0", kMac, 1500, 1);
    if (second) return 2;
    return second.error().message.find("in use") != std::string::npos ? 0 : 3;
  });
  if (failed_step == kNoNamespaces) GTEST_SKIP() << "no network namespaces or taps here";
  EXPECT_EQ(failed_step, 0);
}

TEST(KernelTwin, AnotherInterfacesNameIsRefused) {
  const int failed_step = InOwnNetwork([] {
    const auto twin = KernelTwin::Open("lo", kMac, 1500, 1);
    if (twin) return 1;
    return twin.error().message.find("lo:") != std::string::npos ? 0 : 2;
  });
  if (failed_step == kNoNamespaces) GTEST_SKIP() << "no network namespaces or taps here";
  EXPECT_EQ(failed_step, 0);
}

TEST(KernelTwin, ANameThatCannotBeIsRefused) {
  EXPECT_FALSE(KernelTwin::Open("", kMac, 1500, 1));
  EXPECT_FALSE(KernelTwin::Open("sixteen-letters0", kMac, 1500, 1));
}

}  // namespace
}  // namespace steelyard::dpdk
