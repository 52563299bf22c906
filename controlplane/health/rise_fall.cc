// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/rise_fall.h"

#include <algorithm>

namespace steelyard::controlplane {

RiseFall::RiseFall(v1::Health initial, uint32_t rise, uint32_t fall)
    : health_(initial), rise_(std::max(rise, 1u)), fall_(std::max(fall, 1u)) {}

bool RiseFall::Record(bool passed) {
  const v1::Health indicated = passed ? v1::HEALTH_UP : v1::HEALTH_DOWN;
  const bool decides_alone = undecided_;
  undecided_ = false;
  if (indicated == health_) {
    contrary_results_ = 0;
    return false;
  }
  ++contrary_results_;
  if (!decides_alone && contrary_results_ < (passed ? rise_ : fall_)) return false;
  health_ = indicated;
  contrary_results_ = 0;
  return true;
}

}  // namespace steelyard::controlplane
