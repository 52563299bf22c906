// SPDX-License-Identifier: Apache-2.0
//
// Eal: DPDK's environment, started from our options and stopped with the object. One a process,
// main thread only.
//
// An lcore of DPDK's is a number of ours: 0 is the main core, 1 + i is worker i; the CPU behind it
// is what the options say, so that a CPU number may be any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/result.h"

namespace steelyard::dpdk {

struct EalOptions {
  uint32_t main_core = 0;  // CPU numbers
  std::vector<uint32_t> worker_cores;
  bool use_huge_pages = true;
  uint32_t memory_mib = 0;
  std::vector<std::string> pci_addresses;  // that ports will be opened on
  std::vector<std::string> plugins;        // shared objects to load, by absolute path
};

constexpr unsigned LcoreOfWorker(uint32_t worker_index) {
  return 1 + worker_index;
}

// The NUMA node of the worker's core; below 0: unknown. The environment runs.
int NodeOfWorker(uint32_t worker_index);

// The command line for rte_eal_init.
std::vector<std::string> EalArguments(const EalOptions& options, int process_id);

class Eal {
 public:
  // No device is touched: ports probe theirs. So it starts beside another process that has them.
  static net::Result<std::unique_ptr<Eal>> Start(const EalOptions& options);
  ~Eal();  // after every port is closed and no worker runs
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  // Runs `run` on the worker's core, pinned there. It outlives the run.
  net::Status Launch(uint32_t worker_index, const std::function<void()>& run);
  // Returns when it has returned.
  void Join(uint32_t worker_index);

 private:
  Eal() = default;
};

}  // namespace steelyard::dpdk
