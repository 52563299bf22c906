// SPDX-License-Identifier: Apache-2.0
#include "supervision.h"

#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace steelyard {

using net::Error;
using net::Result;

namespace {

constexpr char kReady = 1;

[[noreturn]] void EndWithChild(int child) {
  char word = 0;
  ssize_t size;
  do {
    size = recv(child, &word, 1, 0);
  } while (size < 0 && errno == EINTR);
  _exit(size == 1 && word == kReady ? 0 : 1);
}

}  // namespace

Result<Supervision> Supervision::Start(bool in_background) {
  if (!in_background) return Supervision(-1);
  std::array<int, 2> ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return Error{std::string("cannot go into the background: ") + std::strerror(errno)};
  const pid_t child = fork();
  if (child < 0)
    return Error{std::string("cannot go into the background: ") + std::strerror(errno)};
  if (child > 0) {
    close(ends[1]);
    EndWithChild(ends[0]);
  }
  close(ends[0]);
  setsid();
  return Supervision(ends[1]);
}

Supervision::Supervision(Supervision&& other) noexcept
    : parent_(std::exchange(other.parent_, -1)) {}

Supervision::~Supervision() {
  if (parent_ >= 0) close(parent_);
}

void Supervision::AnnounceMainProcess() const {
  sd_notifyf(0, "MAINPID=%d", getpid());
}

void Supervision::AnnounceReady() {
  sd_notify(0, "READY=1");
  if (parent_ < 0) return;
  // A parent that was killed is no reason to end.
  send(parent_, &kReady, 1, MSG_NOSIGNAL);
  close(std::exchange(parent_, -1));
}

}  // namespace steelyard
