// SPDX-License-Identifier: Apache-2.0
#include "instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

namespace steelyard {

namespace {

// flock() has no time limit of its own.
bool Lock(int fd, std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kInterval{1};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kInterval);
  }
  return true;
}

}  // namespace

net::Result<InstanceLock> InstanceLock::Take(const std::string& socket_path,
                                             std::chrono::milliseconds patience) {
  const std::filesystem::path lock_path = socket_path + ".lock";
  std::error_code error;
  if (lock_path.has_parent_path())
    std::filesystem::create_directories(lock_path.parent_path(), error);
  const int fd = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return net::Error{"cannot open " + lock_path.string() + ": " + std::strerror(errno)};
  InstanceLock lock(fd);
  if (Lock(fd, patience)) return lock;
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
