// SPDX-License-Identifier: Apache-2.0
//
// Supervision: what this process tells whoever started it. systemd, by sd_notify(3), where it
// listens; and with --background the parent, which ends with status 0 when this one is ready and
// with 1 when it ended before. Main thread only.
#pragma once

#include "net/result.h"

namespace steelyard {

class Supervision {
 public:
  // In the background only the child returns from here. Before any thread is made.
  static net::Result<Supervision> Start(bool in_background);
  Supervision(Supervision&& other) noexcept;
  Supervision& operator=(Supervision&&) = delete;
  ~Supervision();

  // From now on the end of this process is the service's, and not the end of the one before.
  void AnnounceMainProcess() const;
  void AnnounceReady();

 private:
  explicit Supervision(int parent) : parent_(parent) {}
  int parent_;  // a socket that it reads; -1: nobody waits
};

}  // namespace steelyard
