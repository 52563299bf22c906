// SPDX-License-Identifier: Apache-2.0
#include "host_program.h"

#include <pthread.h>
#include <rte_config.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include <cstdio>
#include <fstream>

namespace steelyard::wire {
namespace {

bool Runs(uint16_t port) {
  rte_eth_link link{};
  return rte_eth_dev_is_valid_port(port) != 0 && rte_eth_link_get_nowait(port, &link) == 0 &&
         link.link_status == RTE_ETH_LINK_UP;
}

}  // namespace

uint64_t NanosecondsOf(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

uint64_t PollingThread::cpu_ns() const {
  const clockid_t clock = clock_.load();
  return clock == -1 ? 0 : NanosecondsOf(clock);
}

void PollingThread::NoteSelf() {
  clockid_t clock;
  if (pthread_getcpuclockid(pthread_self(), &clock) == 0) clock_.store(clock);
}

bool IsMainThread() {
  return rte_lcore_id() == rte_get_main_lcore();
}

bool BothPortsRun() {
  return Runs(kClientPort) && Runs(kBackendPort);
}

void MoveToMainCore() {
  cpu_set_t cpus = rte_lcore_cpuset(rte_get_main_lcore());
  pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}

void WriteWhole(const std::string& name, const std::string& text) {
  const std::string unfinished = name + ".new";
  std::ofstream(unfinished, std::ios::binary) << text;
  std::rename(unfinished.c_str(), name.c_str());
}

}  // namespace steelyard::wire
