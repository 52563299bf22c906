// SPDX-License-Identifier: Apache-2.0
#include "core/scheduler/maglev_table.h"

#include <algorithm>

#include "core/key_hash.h"
#include "core/scheduler/availability.h"

namespace steelyard::core {
namespace {

constexpr uint16_t kFree = UINT16_MAX;
static_assert(kMaxBackendsPerService <= kFree);

struct Candidate {
  uint32_t position;
  uint32_t skip;
  uint32_t index;
  uint32_t weight;
  uint64_t credit;  // a turn costs the largest weight
};

uint64_t HashOf(net::Endpoint backend, MaglevTable::Identity identity) {
  if (identity == MaglevTable::Identity::kAddress) backend.port = {};
  return KeyHash(net::FlowKey(backend, backend, net::L4Protocol::kTcp), kPublicSecret);
}

std::vector<Candidate> CandidatesOf(std::span<const Backend> backends,
                                    MaglevTable::Identity identity, uint32_t entries,
                                    uint32_t largest_weight) {
  std::vector<Candidate> candidates;
  for (uint32_t i = 0; i < backends.size(); ++i) {
    if (!backends[i].available) continue;
    const uint64_t hash = HashOf(backends[i].endpoint, identity);
    const uint32_t weight = backends[i].weight;
    // With this credit each has a turn in the first round, however small its weight.
    candidates.push_back({static_cast<uint32_t>((hash >> 32) % entries),
                          static_cast<uint32_t>((hash & 0xffffffff) % (entries - 1) + 1), i, weight,
                          largest_weight - weight});
  }
  // The order of turns must not depend on the order of configuration.
  std::sort(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
    return backends[a.index].endpoint < backends[b.index].endpoint;
  });
  return candidates;
}

}  // namespace

MaglevTable::MaglevTable(std::span<const Backend> backends, Identity identity) {
  uint32_t largest_weight = 0;
  for (const Backend& backend : backends)
    if (backend.available) largest_weight = std::max(largest_weight, backend.weight);
  if (largest_weight == 0) return;
  const uint32_t size = backends.size() <= kSmallTableBackends ? kSmallEntries : kLargeEntries;
  std::vector<Candidate> candidates = CandidatesOf(backends, identity, size, largest_weight);
  entries_.assign(size, kFree);
  for (uint32_t filled = 0; filled < size;) {
    for (Candidate& candidate : candidates) {
      candidate.credit += candidate.weight;
      if (candidate.credit < largest_weight) continue;
      candidate.credit -= largest_weight;
      while (entries_[candidate.position] != kFree) {
        candidate.position += candidate.skip;
        if (candidate.position >= size) candidate.position -= size;
      }
      entries_[candidate.position] = static_cast<uint16_t>(candidate.index);
      if (++filled == size) break;
    }
  }
}

uint32_t MaglevTable::Choose(uint64_t hash, const SchedulingContext& context) const {
  if (entries_.empty()) return kNoBackend;
  uint64_t at = (hash >> 32) * entries_.size() >> 32;
  return FirstProposed(context, [&]() -> uint32_t {
    const uint16_t proposed = entries_[at];
    at = at + 1 == entries_.size() ? 0 : at + 1;
    return proposed;
  });
}

}  // namespace steelyard::core
