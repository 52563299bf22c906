// SPDX-License-Identifier: Apache-2.0
//
// MaglevTable: which backend a hash stands for, so that a change of one backend moves few hashes
// (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
// section 3.4). A table filled by permutations of the backends that take turns; who has more weight
// has more turns.
//
// It depends on the backends' addresses, weights and availability alone, on no secret and not on
// their order: several boxes, and a box after a restart, choose alike.
//
// Size. A table of another size is another table: nearly every hash moves when it changes. So there
// are two sizes only, by the number of backends configured (available or not), and only the step
// from kSmallTableBackends to one more moves everything. The small one is 16 KB and takes 0.2 ms to
// fill, the large one 128 KB and 2 ms: ten thousand services of ten backends cost 160 MB and under
// two seconds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/scheduler/scheduler.h"

namespace steelyard::core {

class MaglevTable {
 public:
  // Primes of a hundred entries a backend or more: shares are then within 1% (section 3.4). With
  // more than 655 backends they stray further.
  static constexpr uint32_t kSmallEntries = 8191;
  static constexpr uint32_t kSmallTableBackends = kSmallEntries / 100;
  static constexpr uint32_t kLargeEntries = 65537;

  // What a backend's place in the table depends on. By its address alone, services on several ports
  // of the same hosts have the same table.
  enum class Identity { kEndpoint, kAddress };

  // Those available share the entries by weight, and each has at least one.
  MaglevTable(std::span<const Backend> backends, Identity identity);

  // The backend at the hash's entry or, if that is at its limit, at the nearest entry behind it
  // whose backend is not; kNoBackend when none takes sessions.
  uint32_t Choose(uint64_t hash, const SchedulingContext& context) const;

  std::span<const uint16_t> entries() const { return entries_; }

 private:
  std::vector<uint16_t> entries_;  // indices into backends; empty when none is available
};

}  // namespace steelyard::core
