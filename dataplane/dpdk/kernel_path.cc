// SPDX-License-Identifier: Apache-2.0
#include "dpdk/kernel_path.h"

#include <pthread.h>
#include <rte_atomic.h>
#include <rte_config.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

namespace steelyard::dpdk {
namespace {

using net::Error;
using net::Result;
using SteadyClock = std::chrono::steady_clock;

constexpr uint32_t kBurst = 32;
// How long the thread keeps looking by itself after the last packet, and how often.
constexpr auto kLinger = std::chrono::milliseconds(1);
constexpr timespec kLingerSleep{.tv_sec = 0, .tv_nsec = 50'000};

Result<rte_ring*> CreateRing(const std::string& name) {
  rte_ring* ring = rte_ring_create(name.c_str(), KernelPath::kRingCapacity, SOCKET_ID_ANY,
                                   RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
  if (ring == nullptr)
    return Error{std::string("no memory for a ring to the kernel: ") + rte_strerror(rte_errno)};
  return ring;
}

void ReleaseAll(rte_ring* ring) {
  std::array<void*, kBurst> packets;
  while (const uint32_t count = rte_ring_sc_dequeue_burst(ring, packets.data(), kBurst, nullptr))
    rte_pktmbuf_free_bulk(reinterpret_cast<rte_mbuf**>(packets.data()), count);
}

}  // namespace

Doorbell::Doorbell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

Doorbell::~Doorbell() {
  close(fd_);
}

void Doorbell::Ring() {
  // Against the fence in AnnounceSleep: either the sleeper sees what was put, or it is seen asleep.
  rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (!asleep_.load(std::memory_order_relaxed)) return;
  if (asleep_.exchange(false, std::memory_order_relaxed)) eventfd_write(fd_, 1);
}

void Doorbell::AnnounceSleep() {
  asleep_.store(true, std::memory_order_relaxed);
  rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void Doorbell::AnnounceAwake() {
  asleep_.store(false, std::memory_order_relaxed);
}

void Doorbell::Silence() {
  eventfd_t ignored;
  eventfd_read(fd_, &ignored);
}

uint32_t KernelChannel::Punt(rte_mbuf* const* packets, uint32_t count) {
  const uint32_t taken = rte_ring_sp_enqueue_burst(
      to_kernel_, reinterpret_cast<void* const*>(packets), count, nullptr);
  doorbell_.Ring();
  return taken;
}

uint32_t KernelChannel::Receive(rte_mbuf** packets, uint32_t capacity) {
  return rte_ring_sc_dequeue_burst(from_kernel_, reinterpret_cast<void**>(packets), capacity,
                                   nullptr);
}

Result<std::unique_ptr<KernelPath>> KernelPath::Create(rte_mempool* pool) {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return Error{"kernel path: no epoll descriptor"};
  std::unique_ptr<KernelPath> path(new KernelPath(pool, epoll_fd));
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (path->doorbell_.fd() < 0 ||
      epoll_ctl(epoll_fd, EPOLL_CTL_ADD, path->doorbell_.fd(), &event) < 0)
    return Error{"kernel path: no event descriptor"};
  return path;
}

KernelPath::KernelPath(rte_mempool* pool, int epoll_fd) : pool_(pool), epoll_fd_(epoll_fd) {}

KernelPath::~KernelPath() {
  Stop();
  for (const auto& channel : channels_) {
    rte_ring_free(channel->to_kernel_);
    rte_ring_free(channel->from_kernel_);
  }
  close(epoll_fd_);
}

Result<KernelChannel*> KernelPath::AddChannel(int twin_fd) {
  const std::string number = std::to_string(channels_.size());
  const Result<rte_ring*> to_kernel = CreateRing("to_kernel_" + number);
  if (!to_kernel) return to_kernel.error();
  const Result<rte_ring*> from_kernel = CreateRing("from_kernel_" + number);
  if (!from_kernel) return from_kernel.error();
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, twin_fd, &event) < 0)
    return Error{"kernel path: cannot wait for a kernel interface"};
  channels_.emplace_back(new KernelChannel(twin_fd, *to_kernel, *from_kernel, doorbell_));
  return channels_.back().get();
}

void KernelPath::Start() {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "kernel-path");
}

void KernelPath::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  doorbell_.Ring();
  if (thread_.joinable()) thread_.join();
  for (const auto& channel : channels_) {
    ReleaseAll(channel->to_kernel_);
    ReleaseAll(channel->from_kernel_);
    rte_pktmbuf_free(std::exchange(channel->waiting_, nullptr));
  }
  rte_pktmbuf_free(std::exchange(spare_, nullptr));
}

void KernelPath::Run() {
  prctl(PR_SET_TIMERSLACK, 1'000);  // the default would double a short sleep
  SteadyClock::time_point last_moved = SteadyClock::now();
  while (!stop_.load(std::memory_order_relaxed)) {
    if (MoveAll()) {
      last_moved = SteadyClock::now();
    } else if (is_stalled_ || SteadyClock::now() - last_moved < kLinger) {
      WaitBriefly();
    } else {
      WaitForDoorbellOrTwin();
      last_moved = SteadyClock::now();
    }
  }
}

bool KernelPath::MoveAll() {
  bool moved = false;
  is_stalled_ = false;
  for (const auto& channel : channels_) {
    moved |= WriteToTwin(*channel);
    moved |= ReadFromTwin(*channel);
  }
  return moved;
}

bool KernelPath::WriteToTwin(KernelChannel& channel) {
  std::array<rte_mbuf*, kBurst> packets;
  const uint32_t count = rte_ring_sc_dequeue_burst(
      channel.to_kernel_, reinterpret_cast<void**>(packets.data()), kBurst, nullptr);
  if (count == 0) return false;
  for (uint32_t i = 0; i < count; ++i) {
    if (write(channel.twin_fd_, rte_pktmbuf_mtod(packets[i], void*), packets[i]->data_len) < 0)
      channel.refused_packets_.Add(1);
  }
  rte_pktmbuf_free_bulk(packets.data(), count);
  return true;
}

bool KernelPath::ReadFromTwin(KernelChannel& channel) {
  bool moved = false;
  for (uint32_t i = 0; i < kBurst; ++i) {
    if (spare_ == nullptr) spare_ = rte_pktmbuf_alloc(pool_);
    if (spare_ == nullptr || !HandOver(channel)) {
      is_stalled_ = true;
      return moved;
    }
    const ssize_t length =
        read(channel.twin_fd_, rte_pktmbuf_mtod(spare_, void*), rte_pktmbuf_tailroom(spare_));
    if (length < 0) {
      if (errno != EAGAIN && errno != EINTR) Forget(channel);
      return moved;
    }
    spare_->data_len = static_cast<uint16_t>(length);
    spare_->pkt_len = static_cast<uint32_t>(length);
    channel.waiting_ = std::exchange(spare_, nullptr);
    moved = true;
  }
  HandOver(channel);
  return moved;
}

bool KernelPath::HandOver(KernelChannel& channel) {
  if (channel.waiting_ == nullptr) return true;
  if (rte_ring_sp_enqueue(channel.from_kernel_, channel.waiting_) != 0) return false;
  channel.waiting_ = nullptr;
  return true;
}

void KernelPath::WaitBriefly() {
  if (is_stalled_) {  // a twin is readable and will stay so until a worker has made room
    nanosleep(&kLingerSleep, nullptr);
    return;
  }
  epoll_event event;
  epoll_pwait2(epoll_fd_, &event, 1, &kLingerSleep, nullptr);
}

void KernelPath::WaitForDoorbellOrTwin() {
  doorbell_.AnnounceSleep();
  if (!MoveAll()) {
    epoll_event event;
    epoll_wait(epoll_fd_, &event, 1, -1);
  }
  doorbell_.AnnounceAwake();
  doorbell_.Silence();
}

// Somebody removed the interface. Its descriptor would be ready for ever.
void KernelPath::Forget(KernelChannel& channel) {
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, channel.twin_fd_, nullptr);
}

}  // namespace steelyard::dpdk
