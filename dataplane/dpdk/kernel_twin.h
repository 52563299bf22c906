// SPDX-License-Identifier: Apache-2.0
//
// KernelTwin: the kernel's side of a port, a persistent multi-queue tap with the port's MAC and
// MTU.
//
// A tap of the kernel's own instead of DPDK's net_tap: that driver takes the interface down when
// its port stops, which removes the routes and IPv6 addresses that are to survive a restart, and
// needs a second port and signals where one file descriptor does.
//
// The interface is persistent, so addresses, routes and neighbours on it outlive this process
// however it ends; without a process it only loses its carrier. All offloads are off: the kernel
// hands over finished frames, and checks the checksums of what it is given. No thread of its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/result.h"

namespace steelyard::dpdk {

class KernelTwin {
 public:
  // Makes the interface, or takes over the one of this name, and brings it up. An interface of
  // another kind, or one that a process is using, is refused. Needs CAP_NET_ADMIN.
  static net::Result<KernelTwin> Open(const std::string& name, const net::MacAddress& mac,
                                      uint32_t mtu, uint32_t queue_count);
  ~KernelTwin();
  KernelTwin(KernelTwin&& other) noexcept;
  KernelTwin& operator=(KernelTwin&&) = delete;

  const std::string& name() const { return name_; }
  // Non-blocking; a read gives one frame and a write takes one, from its Ethernet header on. Owned
  // by this object.
  int queue_fd(uint32_t queue) const { return queue_fds_[queue]; }

 private:
  explicit KernelTwin(std::string name) : name_(std::move(name)) {}
  net::Status OpenQueue();
  net::Status Configure(const net::MacAddress& mac, uint32_t mtu);

  std::string name_;
  std::vector<int> queue_fds_;
};

}  // namespace steelyard::dpdk
