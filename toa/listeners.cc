// SPDX-License-Identifier: Apache-2.0
#include "toa/listeners.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "toa/file_descriptor.h"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgot to say that these are C
}

namespace steelyard::toa {
namespace {

namespace fs = std::filesystem;

int IntOption(const FileDescriptor& socket, int level, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  return getsockopt(socket.get(), level, name, &value, &size) == 0 ? value : -1;
}

// A server that has set TCP_SAVE_SYN itself, to either of its values, keeps what it has.
bool SaveSyns(const FileDescriptor& socket) {
  if (IntOption(socket, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP) return false;
  if (IntOption(socket, SOL_SOCKET, SO_ACCEPTCONN) != 1) return false;
  if (IntOption(socket, IPPROTO_TCP, TCP_SAVE_SYN) != 0) return false;
  const int on = 1;
  return setsockopt(socket.get(), IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on)) == 0;
}

std::vector<int> OpenSockets(pid_t pid) {
  std::vector<int> sockets;
  std::error_code error;
  fs::directory_iterator entry("/proc/" + std::to_string(pid) + "/fd", error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    const std::string target = fs::read_symlink(entry->path(), ignored).string();
    if (target.rfind("socket:", 0) != 0) continue;
    const std::string name = entry->path().filename();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    sockets.push_back(fd);
  }
  return sockets;
}

int SaveSynsOfProcess(pid_t pid) {
  const FileDescriptor process(pidfd_open(pid, 0));
  if (!process.is_open()) return 0;
  int count = 0;
  for (const int fd : OpenSockets(pid)) {
    const FileDescriptor socket(pidfd_getfd(process.get(), fd, 0));
    if (socket.is_open() && SaveSyns(socket)) ++count;
  }
  return count;
}

int SaveSynsOfCgroup(const fs::path& cgroup) {
  std::ifstream processes(cgroup / "cgroup.procs");
  int count = 0;
  for (pid_t pid; processes >> pid;) count += SaveSynsOfProcess(pid);
  return count;
}

}  // namespace

int SaveSynsOfListeners(const std::string& cgroup_path) {
  int count = SaveSynsOfCgroup(cgroup_path);
  std::error_code error;
  fs::recursive_directory_iterator entry(cgroup_path, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) count += SaveSynsOfCgroup(entry->path());
  }
  return count;
}

}  // namespace steelyard::toa
