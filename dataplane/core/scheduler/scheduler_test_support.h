// SPDX-License-Identifier: Apache-2.0
//
// What the tests of all schedulers need: backends, counters, flows.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/scheduler/scheduler.h"
#include "core/service.h"
#include "core/worker_state.h"
#include "net/address.h"

namespace steelyard::core {

inline net::Endpoint NumberedBackend(uint32_t number) {
  return {net::Ipv4Address{net::Be32(0x0a000000 + number)}, net::Be16(8080)};
}

inline std::vector<Backend> BackendsOfWeights(const std::vector<uint32_t>& weights) {
  std::vector<Backend> backends;
  for (uint32_t i = 0; i < weights.size(); ++i)
    backends.push_back({.endpoint = NumberedBackend(i),
                        .weight = weights[i],
                        .available = weights[i] > 0,
                        .keeps_sessions = true,
                        .slot = i});
  return backends;
}

inline net::FlowKey NumberedFlow(uint32_t number) {
  return net::FlowKey({net::Ipv4Address{net::Be32(0xc6330000 + number / 50'000)},
                       net::Be16(static_cast<uint16_t>(1024 + number % 50'000))},
                      {net::Ipv4Address{net::Be32(0x0a000101)}, net::Be16(80)},
                      net::L4Protocol::kTcp);
}

// One scheduler with what a worker keeps for it.
class SchedulerUnderTest {
 public:
  SchedulerUnderTest(std::shared_ptr<const Scheduler> (*make)(std::span<const Backend>),
                     std::vector<Backend> of)
      : backends(std::move(of)),
        counters(backends.size()),
        shares(backends.size()),
        scheduler(make(backends)) {}

  uint32_t Choose(const net::FlowKey& flow = NumberedFlow(0)) {
    return scheduler->Choose({flow, backends, counters, shares, cursor});
  }

  std::vector<Backend> backends;
  std::vector<BackendCounters> counters;
  std::vector<SessionShare> shares;
  std::shared_ptr<const Scheduler> scheduler;
  uint32_t cursor = 0;
};

}  // namespace steelyard::core
