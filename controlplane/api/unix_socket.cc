// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace steelyard::controlplane {
namespace {

net::Error ErrorAt(const std::string& path, const std::string& reason) {
  return {path + ": " + reason};
}

// 0 or an errno.
int TryToConnect(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const bool connected =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  const int error = connected ? 0 : errno;
  close(fd);
  return error;
}

}  // namespace

net::Status PrepareSocketPath(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return ErrorAt(path, "a socket's path has 1 to " +
                             std::to_string(sizeof(address.sun_path) - 1) + " characters");
  path.copy(address.sun_path, path.size());
  std::error_code error;
  const auto folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) return ErrorAt(folder.string(), error.message());
  struct stat file {};
  if (lstat(path.c_str(), &file) < 0)
    return errno == ENOENT ? net::Status(net::Ok{}) : ErrorAt(path, std::strerror(errno));
  if (!S_ISSOCK(file.st_mode)) return ErrorAt(path, "is there and is not a socket");
  const int connect_error = TryToConnect(address);
  if (connect_error == 0) return ErrorAt(path, "another process listens there");
  if (connect_error != ECONNREFUSED) return ErrorAt(path, std::strerror(connect_error));
  if (unlink(path.c_str()) < 0) return ErrorAt(path, std::strerror(errno));
  return net::Ok{};
}

}  // namespace steelyard::controlplane
