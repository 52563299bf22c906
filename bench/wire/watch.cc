// SPDX-License-Identifier: Apache-2.0
//
// Counts from outside, as a shared object for EAL's -d in any DPDK program: what the first two
// ports have received and sent by their drivers' own counters, and the processor time of the thread
// that polls them, at one moment. So two programs on the same kind of port are counted alike, and
// nothing of it is in the way of a packet.
//
// The environment's STEELYARD_WATCH names the file that the figures are written to as JSON, a
// hundred times a second, from when both ports run and are polled.
#include <rte_config.h>
#include <rte_ethdev.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "host_program.h"

namespace steelyard::wire {
namespace {

constexpr uint64_t kMomentNs = 100'000;
constexpr int kMostTries = 10;

uint16_t NotePoller(uint16_t, uint16_t, rte_mbuf**, uint16_t count, uint16_t, void* poller) {
  if (!IsMainThread()) static_cast<PollingThread*>(poller)->NoteSelf();
  return count;
}

std::string PortJson(uint16_t port) {
  rte_eth_stats stats{};
  rte_eth_stats_get(port, &stats);
  return "{\"received\": " + std::to_string(stats.ipackets) +
         ", \"sent\": " + std::to_string(stats.opackets) + "}";
}

class Watch {
 public:
  explicit Watch(std::string results_name) : results_name_(std::move(results_name)) {}

  void Run() {
    while (!BothPortsRun()) std::this_thread::sleep_for(kPeriod);
    MoveToMainCore();
    if (!FindPoller()) {
      std::fputs("watch: this DPDK has no callbacks\n", stderr);
      return;
    }
    while (true) {
      WriteWhole(results_name_, Figures());
      std::this_thread::sleep_for(kPeriod);
    }
  }

 private:
  // By a callback that is gone before anything is measured. Its memory is not: it may be running.
  bool FindPoller() {
    const rte_eth_rxtx_callback* const callback =
        rte_eth_add_rx_callback(kClientPort, kQueue, NotePoller, &poller_);
    if (callback == nullptr) return false;
    while (!poller_.is_known()) std::this_thread::sleep_for(kPeriod);
    rte_eth_remove_rx_callback(kClientPort, kQueue, callback);
    return true;
  }

  // Of one moment: read again if something else had this core in between.
  std::string Figures() const {
    uint64_t started;
    std::string figures;
    int tries = 0;
    do {
      started = NanosecondsOf(CLOCK_MONOTONIC);
      figures = "{\"time_ns\": " + std::to_string(started) +
                ", \"cpu_ns\": " + std::to_string(poller_.cpu_ns()) + ", \"ports\": [" +
                PortJson(kClientPort) + ", " + PortJson(kBackendPort) + "]}\n";
    } while (NanosecondsOf(CLOCK_MONOTONIC) - started > kMomentNs && ++tries < kMostTries);
    return figures;
  }

  const std::string results_name_;
  PollingThread poller_;
};

// Ends with the process: the program that loaded it knows nothing of it.
__attribute__((constructor)) void Load() {
  const char* const results_name = std::getenv("STEELYARD_WATCH");
  if (results_name == nullptr) {
    std::fputs("watch: STEELYARD_WATCH names no file, so nothing is counted\n", stderr);
    return;
  }
  auto* const watch = new Watch(results_name);
  std::thread([watch] { watch->Run(); }).detach();
}

}  // namespace
}  // namespace steelyard::wire
