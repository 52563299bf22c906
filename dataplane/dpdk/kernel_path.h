// SPDX-License-Identifier: Apache-2.0
//
// KernelPath: carries packets between workers and the twins, so that no worker ever reads or writes
// a file descriptor. One thread for all ports, at normal priority on the main core.
//
//   worker ── to_kernel ring ──> thread ── write ──> twin's queue
//   worker <── from_kernel ring ── thread <── read ── twin's queue
//
// One channel (two single-producer single-consumer rings and a queue of the twin) for each pair of
// port and worker. A full ring drops at its entrance: towards the kernel the worker counts it, from
// the kernel the twin's own queue holds back.
//
// When nothing has moved for a millisecond the thread sleeps in the kernel, and says so: a worker
// that then has something for it rings a doorbell, the one system call that a worker ever makes, at
// most once a millisecond. Polling on a timer instead would cost a core's percents for ever.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "core/counter.h"
#include "net/result.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace steelyard::dpdk {

// Wakes a thread that sleeps, and costs no more than a fence when it does not.
class Doorbell {
 public:
  Doorbell();
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  // Any thread, after it has put something where the sleeper looks.
  void Ring();

  // The sleeper: announces that it is about to sleep; it must look for work once more before it
  // does.
  void AnnounceSleep();
  void AnnounceAwake();
  int fd() const { return fd_; }  // readable once rung
  void Silence();                 // makes it unreadable again

 private:
  alignas(64) std::atomic<bool> asleep_{false};
  const int fd_;
};

class KernelChannel {
 public:
  // The worker. Takes what fits, in order, and returns how many that was.
  uint32_t Punt(rte_mbuf* const* packets, uint32_t count);
  // The worker. What the kernel sent, up to `capacity`.
  uint32_t Receive(rte_mbuf** packets, uint32_t capacity);

  // Any thread: packets that the kernel refused to take from us.
  uint64_t refused_packets() const { return refused_packets_.value(); }

 private:
  friend class KernelPath;
  KernelChannel(int twin_fd, rte_ring* to_kernel, rte_ring* from_kernel, Doorbell& doorbell)
      : twin_fd_(twin_fd), to_kernel_(to_kernel), from_kernel_(from_kernel), doorbell_(doorbell) {}

  const int twin_fd_;
  rte_ring* const to_kernel_;
  rte_ring* const from_kernel_;
  Doorbell& doorbell_;
  rte_mbuf* waiting_ = nullptr;    // the kernel path's: read from the twin, not yet in the ring
  core::Counter refused_packets_;  // written by the kernel path's thread
};

class KernelPath {
 public:
  static constexpr uint32_t kRingCapacity = 1024;  // packets, each way of a channel

  // Main thread, like all but what is marked otherwise. Buffers for what the kernel sends come from
  // `pool`.
  static net::Result<std::unique_ptr<KernelPath>> Create(rte_mempool* pool);
  ~KernelPath();
  KernelPath(const KernelPath&) = delete;
  KernelPath& operator=(const KernelPath&) = delete;

  // Before Start. `twin_fd` as KernelTwin::queue_fd gives it; it and the worker end before this
  // object.
  net::Result<KernelChannel*> AddChannel(int twin_fd);

  void Start();
  void Stop();  // packets on their way are released

 private:
  KernelPath(rte_mempool* pool, int epoll_fd);

  void Run();
  bool MoveAll();
  bool WriteToTwin(KernelChannel& channel);
  bool ReadFromTwin(KernelChannel& channel);
  // False: the ring has no room for the frame that waits.
  static bool HandOver(KernelChannel& channel);
  void WaitBriefly();
  void WaitForDoorbellOrTwin();
  void Forget(KernelChannel& channel);

  rte_mempool* const pool_;
  const int epoll_fd_;
  Doorbell doorbell_;
  std::vector<std::unique_ptr<KernelChannel>> channels_;
  // The thread's own.
  rte_mbuf* spare_ = nullptr;  // to read the next frame into
  bool is_stalled_ = false;    // a twin was left unread for want of a buffer or of room in its ring
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace steelyard::dpdk
