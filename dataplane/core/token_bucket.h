// SPDX-License-Identifier: Apache-2.0
//
// TokenBucket: lets through no more than `capacity` at once and `tokens_per_second` in the long
// run. Kept as the time at which the bucket will be full again, so that nothing is rounded and an
// idle one costs nothing. Full at the start. One thread's.
#pragma once

#include <algorithm>
#include <cstdint>

namespace steelyard::core {

class TokenBucket {
 public:
  // Neither is zero.
  constexpr TokenBucket(uint32_t tokens_per_second, uint32_t capacity)
      : token_ns_(1'000'000'000 / tokens_per_second), full_ns_(token_ns_ * capacity) {}

  // One token, if there is one. `now_ns` never runs backwards.
  constexpr bool Take(uint64_t now_ns) {
    return TakeFrom(full_again_ns_, token_ns_, full_ns_, now_ns);
  }

  // For buckets whose rate is kept elsewhere: `full_again_ns` is the bucket, zero when new.
  static constexpr bool TakeFrom(uint64_t& full_again_ns, uint64_t token_ns, uint64_t full_ns,
                                 uint64_t now_ns) {
    const uint64_t then_full_ns = std::max(full_again_ns, now_ns) + token_ns;
    if (then_full_ns - now_ns > full_ns) return false;
    full_again_ns = then_full_ns;
    return true;
  }

 private:
  uint64_t token_ns_;  // in which one token comes
  uint64_t full_ns_;   // in which an empty bucket fills
  uint64_t full_again_ns_ = 0;
};

}  // namespace steelyard::core
