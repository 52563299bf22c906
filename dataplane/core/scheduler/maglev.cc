// SPDX-License-Identifier: Apache-2.0
//
// Maglev hashing (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer",
// NSDI 2016, section 3.4): a table filled by permutations of the backends, so that a change of one
// moves few flows. The hash has no secret and depends on addresses alone: several boxes, and a box
// after a restart, choose alike.
#include <algorithm>
#include <array>
#include <vector>

#include "core/key_hash.h"
#include "core/service.h"

namespace steelyard::core {
namespace {

constexpr HashSecret kCommonSecret;

// Primes, a step of about two: the table has at least a hundred entries a backend (the paper's rule
// for shares within 1%), up to the largest.
constexpr std::array<uint32_t, 9> kTableSizes = {251,  509,   1021,  2039, 4093,
                                                 8191, 16381, 32749, 65521};

uint32_t TableSizeFor(size_t backends) {
  const auto at = std::lower_bound(kTableSizes.begin(), kTableSizes.end(), backends * 100);
  return at == kTableSizes.end() ? kTableSizes.back() : *at;
}

uint64_t HashOf(const net::Endpoint& endpoint) {
  return KeyHash(net::FlowKey(endpoint, endpoint, net::L4Protocol::kTcp), kCommonSecret);
}

class Maglev : public Scheduler {
 public:
  explicit Maglev(std::span<const Backend> backends) {
    struct Candidate {
      uint64_t position;
      uint64_t skip;
      uint32_t index;
      double turns_per_round;  // weight over the largest weight
      double credit = 0;
    };
    uint32_t largest_weight = 0;
    for (const Backend& backend : backends)
      if (backend.available) largest_weight = std::max(largest_weight, backend.weight);
    if (largest_weight == 0) return;
    const uint32_t size = TableSizeFor(backends.size());
    std::vector<Candidate> candidates;
    for (uint32_t i = 0; i < backends.size(); ++i) {
      if (!backends[i].available) continue;
      const uint64_t hash = HashOf(backends[i].endpoint);
      candidates.push_back({(hash >> 32) % size, (hash & 0xffffffff) % (size - 1) + 1, i,
                            static_cast<double>(backends[i].weight) / largest_weight});
    }
    // The order of turns must not depend on the order of configuration.
    std::sort(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
      return backends[a.index].endpoint < backends[b.index].endpoint;
    });
    table_.assign(size, kNoBackend);
    for (uint32_t filled = 0; filled < size;) {
      for (Candidate& candidate : candidates) {
        candidate.credit += candidate.turns_per_round;
        if (candidate.credit < 1) continue;
        candidate.credit -= 1;
        while (table_[candidate.position] != kNoBackend)
          candidate.position = (candidate.position + candidate.skip) % size;
        table_[candidate.position] = candidate.index;
        if (++filled == size) break;
      }
    }
  }

  uint32_t Choose(const SchedulingContext& context) const override {
    if (table_.empty()) return kNoBackend;
    const auto hash = static_cast<uint32_t>(KeyHash(context.client_flow, kCommonSecret) >> 32);
    return table_[uint64_t{hash} * table_.size() >> 32];
  }

 private:
  std::vector<uint32_t> table_;
};

}  // namespace

std::shared_ptr<const Scheduler> MakeMaglev(std::span<const Backend> backends) {
  return std::make_shared<Maglev>(backends);
}

}  // namespace steelyard::core
