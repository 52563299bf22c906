// SPDX-License-Identifier: Apache-2.0
#include "handover.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace steelyard {

using net::Error;
using net::Ok;
using net::Result;
using net::Status;

namespace {

// Whoever listens there; 0: nobody does.
pid_t ProcessServing(const std::string& control_socket) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (control_socket.size() >= sizeof address.sun_path) return 0;
  control_socket.copy(address.sun_path, sizeof address.sun_path - 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return 0;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  const bool is_known =
      connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
  close(socket);
  return is_known ? credentials.pid : 0;
}

Status AskToEnd(pid_t process) {
  if (process == 0 || kill(process, SIGTERM) == 0 || errno == ESRCH) return Ok{};
  return Error{"cannot ask process " + std::to_string(process) +
               ", the running dataplane, to end: " + std::strerror(errno)};
}

}  // namespace

Result<InstanceLock> TakeOver(const std::string& control_socket,
                              std::chrono::milliseconds patience) {
  const pid_t process = ProcessServing(control_socket);
  if (const Status status = AskToEnd(process); !status) return status.error();
  return InstanceLock::Take(control_socket, process == 0 ? std::chrono::milliseconds(0) : patience);
}

}  // namespace steelyard
