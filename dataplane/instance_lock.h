// SPDX-License-Identifier: Apache-2.0
//
// InstanceLock: at most one dataplane a control socket. A lock on a file beside the socket, which
// the kernel lets go however the process ends; whoever holds it may remove a socket left by an
// earlier one.
#pragma once

#include <chrono>
#include <string>

#include "net/result.h"

namespace steelyard {

class InstanceLock {
 public:
  // Makes the directory of `socket_path` if it is missing. Waits for another holder to let go for
  // as long as `patience`.
  static net::Result<InstanceLock> Take(const std::string& socket_path,
                                        std::chrono::milliseconds patience = {});
  ~InstanceLock();
  InstanceLock(InstanceLock&& other) noexcept;
  InstanceLock& operator=(InstanceLock&&) = delete;

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace steelyard
