// SPDX-License-Identifier: Apache-2.0
#include "instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace steelyard {

net::Result<InstanceLock> InstanceLock::Take(const std::string& socket_path) {
  const std::filesystem::path lock_path = socket_path + ".lock";
  std::error_code error;
  if (lock_path.has_parent_path())
    std::filesystem::create_directories(lock_path.parent_path(), error);
  const int fd = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return net::Error{"cannot open " + lock_path.string() + ": " + std::strerror(errno)};
  InstanceLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK) {
    return net::Error{"another steelyard-dataplane is running on " + socket_path +
                      "; stop it, or give this one another --control-socket"};
  }
  return net::Error{"cannot lock " + lock_path.string() + ": " + std::strerror(errno)};
}

InstanceLock::InstanceLock(InstanceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

InstanceLock::~InstanceLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace steelyard
