// SPDX-License-Identifier: Apache-2.0
//
// A job that another thread wants done on a worker's own data (listing sessions, looking one up):
// done between bursts, a bounded step at a time, so that no table needs a lock and no poll is held
// up.
//
// To add one: a class beside its caller (control/session_tasks.h has two); a worker knows none by
// name.
#pragma once

#include "core/pipeline.h"

namespace steelyard::worker {

class Task {
 public:
  virtual ~Task() = default;
  // On the worker's thread. Does a bounded piece (about 10 µs) and says whether it was the last
  // one.
  virtual bool Step(core::Pipeline& pipeline, uint64_t now_ns) = 0;
};

}  // namespace steelyard::worker
