// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this room share: DPDK's environment in plain memory, started once a process and
// without root, and one small buffer pool.
#pragma once

#include <gtest/gtest.h>

#include "dpdk/eal.h"
#include "dpdk/mbuf_pool.h"

namespace steelyard::dpdk {

inline rte_mempool* TestPool() {
  static const auto eal = [] {
    auto started = Eal::Start({.main_core = 0, .use_huge_pages = false, .memory_mib = 64});
    if (!started) throw std::runtime_error(started.error().message);
    return std::move(*started);
  }();
  static rte_mempool* const pool = *CreateMbufPool(8191, 1500);
  return pool;
}

}  // namespace steelyard::dpdk
