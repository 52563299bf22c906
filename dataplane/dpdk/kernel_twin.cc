// SPDX-License-Identifier: Apache-2.0
#include "dpdk/kernel_twin.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace steelyard::dpdk {
namespace {

using net::Error;
using net::Ok;
using net::Result;
using net::Status;

constexpr char kTunDevice[] = "/dev/net/tun";

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

ifreq RequestFor(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

Error Failed(const std::string& name, const std::string& what) {
  return {"kernel interface " + name + ": cannot " + what + ": " + std::strerror(errno)};
}

// Set anew, even the same address makes the kernel forget all neighbours.
Status SetMac(int socket, const std::string& name, const net::MacAddress& mac) {
  ifreq request = RequestFor(name);
  if (ioctl(socket, SIOCGIFHWADDR, &request) == 0 &&
      std::memcmp(request.ifr_hwaddr.sa_data, mac.bytes.data(), mac.bytes.size()) == 0)
    return Ok{};
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(request.ifr_hwaddr.sa_data, mac.bytes.data(), mac.bytes.size());
  if (ioctl(socket, SIOCSIFHWADDR, &request) < 0)
    return Failed(name, "set its MAC address to " + net::ToString(mac));
  return Ok{};
}

// An attached process is what gives a tap its carrier. Not IFF_RUNNING, which follows it only after
// up to a second: a dataplane that is started again at once must not find its own traces.
bool HasCarrier(int socket, const std::string& name) {
  ethtool_value carrier{.cmd = ETHTOOL_GLINK, .data = 0};
  ifreq request = RequestFor(name);
  request.ifr_data = reinterpret_cast<char*>(&carrier);
  return ioctl(socket, SIOCETHTOOL, &request) == 0 && carrier.data != 0;
}

// The neighbours are known to the next process at once, although the tap loses its carrier with
// this one. Kernels before 5.16 have no such setting: there they are asked for again.
void KeepNeighboursWithoutCarrier(const std::string& name) {
  for (const char* setting : {"/proc/sys/net/ipv4/conf/%/arp_evict_nocarrier",
                              "/proc/sys/net/ipv6/conf/%/ndisc_evict_nocarrier"}) {
    std::string path = setting;
    path.replace(path.find('%'), 1, name);
    std::ofstream(path) << '0';
  }
}

// Before it is attached: once the interface has its carrier, the kernel derives its IPv6 link-local
// address from the MAC that it finds.
Status PrepareExisting(int socket, const std::string& name, const net::MacAddress& mac) {
  if (if_nametoindex(name.c_str()) == 0) return Ok{};
  if (HasCarrier(socket, name)) {
    return Error{"kernel interface " + name +
                 ": in use by another process, or not a tap; choose another name with "
                 "--kernel-interface-prefix"};
  }
  return SetMac(socket, name, mac);
}

}  // namespace

Result<KernelTwin> KernelTwin::Open(const std::string& name, const net::MacAddress& mac,
                                    uint32_t mtu, uint32_t queue_count) {
  if (name.empty() || name.size() >= IFNAMSIZ)
    return Error{"'" + name + "' cannot be the name of a kernel interface: 1 to 15 characters"};
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return Failed(name, "open a socket");
  if (const Status status = PrepareExisting(socket.get(), name, mac); !status)
    return status.error();

  KernelTwin twin(name);
  for (uint32_t i = 0; i < queue_count; ++i)
    if (const Status status = twin.OpenQueue(); !status) return status.error();
  if (const Status status = twin.Configure(mac, mtu); !status) return status.error();
  return twin;
}

Status KernelTwin::OpenQueue() {
  Descriptor queue(open(kTunDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (queue.get() < 0) return Failed(name_, std::string("open ") + kTunDevice);
  ifreq request = RequestFor(name_);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE;
  if (ioctl(queue.get(), TUNSETIFF, &request) < 0) {
    return Error{"kernel interface " + name_ + ": " + std::strerror(errno) +
                 "; if it exists, it must be a multi-queue tap that no process uses (ip tuntap add "
                 "dev " +
                 name_ + " mode tap multi_queue)"};
  }
  if (ioctl(queue.get(), TUNSETOFFLOAD, 0) < 0) return Failed(name_, "turn its offloads off");
  if (ioctl(queue.get(), TUNSETPERSIST, 1) < 0) return Failed(name_, "make it persistent");
  queue_fds_.push_back(queue.Release());
  return Ok{};
}

Status KernelTwin::Configure(const net::MacAddress& mac, uint32_t mtu) {
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return Failed(name_, "open a socket");
  if (const Status status = SetMac(socket.get(), name_, mac); !status) return status.error();
  ifreq request = RequestFor(name_);
  request.ifr_mtu = static_cast<int>(mtu);
  if (ioctl(socket.get(), SIOCSIFMTU, &request) < 0)
    return Failed(name_, "set its MTU to " + std::to_string(mtu));
  request = RequestFor(name_);
  if (ioctl(socket.get(), SIOCGIFFLAGS, &request) < 0) return Failed(name_, "read its flags");
  request.ifr_flags = static_cast<int16_t>(request.ifr_flags | IFF_UP);
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) return Failed(name_, "bring it up");
  KeepNeighboursWithoutCarrier(name_);
  return Ok{};
}

KernelTwin::KernelTwin(KernelTwin&& other) noexcept
    : name_(std::move(other.name_)), queue_fds_(std::exchange(other.queue_fds_, {})) {}

KernelTwin::~KernelTwin() {
  for (const int fd : queue_fds_) close(fd);
}

}  // namespace steelyard::dpdk
