// SPDX-License-Identifier: Apache-2.0
//
// What a sequence of check results means for the health of one backend. Pure: no clock, no socket.
//
// Laws:
//   * the first result decides alone;
//   * afterwards `fall` failures in a row take an up backend down, `rise` successes in a row bring
//   a
//     down one up, and any result of the other kind starts the count again;
//   * the health changes only in Record().
#pragma once

#include <cstdint>

#include "model.pb.h"

namespace steelyard::controlplane {

class RiseFall {
 public:
  // `initial` stands until the first result. Thresholds of 0 count as 1.
  RiseFall(v1::Health initial, uint32_t rise, uint32_t fall);

  // True when the result changed the health.
  bool Record(bool passed);

  v1::Health health() const { return health_; }

 private:
  v1::Health health_;
  uint32_t rise_;
  uint32_t fall_;
  uint32_t contrary_results_ = 0;  // in a row
  bool undecided_ = true;
};

}  // namespace steelyard::controlplane
