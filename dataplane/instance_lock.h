// SPDX-License-Identifier: Apache-2.0
//
// InstanceLock: at most one dataplane a control socket. A lock on a file beside the socket, which
// the kernel lets go however the process ends; whoever holds it may remove a socket left by an
// earlier one.
#pragma once

#include <string>

#include "net/result.h"

namespace steelyard {

class InstanceLock {
 public:
  // Makes the directory of `socket_path` if it is missing.
  static net::Result<InstanceLock> Take(const std::string& socket_path);
  ~InstanceLock();
  InstanceLock(InstanceLock&& other) noexcept;
  InstanceLock& operator=(InstanceLock&&) = delete;

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace steelyard
