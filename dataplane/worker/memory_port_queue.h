// SPDX-License-Identifier: Apache-2.0
//
// MemoryPortQueue: a PortQueue for tests, without driver or root. Frames are plain vectors; a
// buffer that is taken twice, or never, is found out. A queue is one thread's; buffers may pass
// from thread to thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "worker/port_queue.h"

namespace steelyard::worker {

using Frame = std::vector<uint8_t>;

// Buffers on loan to a worker, shared by all the ports of a test: any port may take what another
// gave.
class BufferLedger {
 public:
  static constexpr uint32_t kHeadroom = 128;
  static constexpr size_t kTailroom = 128;

  void Fill(const Frame& frame, net::Packet& packet, void*& handle) {
    auto memory = std::make_unique<Frame>(kHeadroom + frame.size() + kTailroom);
    std::copy(frame.begin(), frame.end(), memory->begin() + kHeadroom);
    packet = {memory->data() + kHeadroom, static_cast<uint32_t>(frame.size()), kHeadroom};
    handle = memory.get();
    const std::lock_guard lock(mutex_);
    lent_.insert(std::move(memory));
  }

  // What the view shows of the buffer, which is gone afterwards.
  Frame Take(const net::Packet& packet, const void* handle) {
    Frame frame(packet.data, packet.data + packet.length);
    const std::lock_guard lock(mutex_);
    for (auto it = lent_.begin(); it != lent_.end(); ++it) {
      if (it->get() != handle) continue;
      lent_.erase(it);
      return frame;
    }
    throw std::logic_error("a buffer was taken that nobody had");
  }

  size_t lent() const { return lent_.size(); }

 private:
  std::mutex mutex_;
  std::set<std::unique_ptr<Frame>> lent_;
};

class MemoryPortQueue final : public PortQueue {
 public:
  static constexpr size_t kMaxFrameBytes = 14 + 1500;

  MemoryPortQueue(core::PortId id, BufferLedger& ledger) : id_(id), ledger_(ledger) {}

  // What the wire and the kernel will deliver, and what arrived there.
  std::deque<Frame> wire_in;
  std::deque<Frame> kernel_in;
  std::vector<Frame> wire_out;
  std::vector<Frame> kernel_out;
  size_t released = 0;
  // How many of `wanted` the port or the kernel's side takes; everything unless told.
  std::function<uint32_t(uint32_t wanted)> send_limit = [](uint32_t wanted) { return wanted; };
  std::function<uint32_t(uint32_t wanted)> punt_limit = [](uint32_t wanted) { return wanted; };
  // Whether there are as many buffers.
  std::function<bool(uint32_t wanted)> allocates = [](uint32_t) { return true; };

  void Receive(core::Burst& burst) override {
    burst.count = 0;
    burst.in_port = id_;
    while (burst.count < core::kBurstCapacity && !wire_in.empty()) {
      ledger_.Fill(wire_in.front(), burst.packet[burst.count], burst.buffer[burst.count]);
      burst.steered[burst.count] = core::Steered::kNot;
      wire_in.pop_front();
      ++burst.count;
    }
  }

  uint32_t Send(const core::Burst& burst, std::span<const uint8_t> indices) override {
    return Move(burst, indices.first(send_limit(static_cast<uint32_t>(indices.size()))), wire_out);
  }

  uint32_t Punt(const core::Burst& burst, std::span<const uint8_t> indices) override {
    return Move(burst, indices.first(punt_limit(static_cast<uint32_t>(indices.size()))),
                kernel_out);
  }

  bool Allocate(core::Burst& burst) override {
    if (!allocates(burst.count)) return false;
    for (uint32_t i = 0; i < burst.count; ++i) {
      ledger_.Fill(Frame(kMaxFrameBytes), burst.packet[i], burst.buffer[i]);
      burst.packet[i].length = 0;
    }
    return true;
  }

  void Release(const core::Burst& burst, std::span<const uint8_t> indices) override {
    std::vector<Frame> ended;
    released += Move(burst, indices, ended);
  }

  void SendRelayed() override {}

  FromKernel SendFromKernel() override {
    FromKernel moved;
    while (moved.received < core::kBurstCapacity && !kernel_in.empty()) {
      ++moved.received;
      if (send_limit(1) == 1) {
        wire_out.push_back(std::move(kernel_in.front()));
      } else {
        ++moved.dropped;
      }
      kernel_in.pop_front();
    }
    return moved;
  }

 private:
  uint32_t Move(const core::Burst& burst, std::span<const uint8_t> indices,
                std::vector<Frame>& out) {
    for (const uint8_t index : indices)
      out.push_back(ledger_.Take(burst.packet[index], burst.buffer[index]));
    return static_cast<uint32_t>(indices.size());
  }

  const core::PortId id_;
  BufferLedger& ledger_;
};

}  // namespace steelyard::worker
