// SPDX-License-Identifier: Apache-2.0
//
// What the poll loop needs of a port, implemented by dpdk/ and by tests in memory. One object is
// one worker's pair of queues on one port and the way to that port's kernel twin; only that worker
// calls it. A buffer belongs to whoever holds it last: Receive and Allocate give it to the worker,
// and Send, Punt, SendFromKernel and Release take it away. None of them blocks or asks the system
// for memory.
#pragma once

#include <cstdint>
#include <span>

#include "core/burst.h"

namespace steelyard::worker {

class PortQueue {
 public:
  virtual ~PortQueue() = default;

  // Fills `burst` (count, in_port, packet, buffer, steered) with up to kBurstCapacity frames; count
  // 0: nothing there.
  virtual void Receive(core::Burst& burst) = 0;

  // Sends the packets of `burst` that `indices` names out of this port, as their views now stand
  // (data and length may have moved). Returns how many were taken, in order; the rest still belong
  // to the caller.
  virtual uint32_t Send(const core::Burst& burst, std::span<const uint8_t> indices) = 0;

  // The same, to the kernel's side of this port.
  virtual uint32_t Punt(const core::Burst& burst, std::span<const uint8_t> indices) = 0;

  // Fills `burst` (packet, buffer) with burst.count empty frames that have room for any frame of a
  // port of ours. False: there are not so many buffers now, and none is given.
  virtual bool Allocate(core::Burst& burst) = 0;

  virtual void Release(const core::Burst& burst, std::span<const uint8_t> indices) = 0;

  // Moves what the kernel sent through the twin out of the port, up to a burst. `dropped` counts
  // what the port did not take.
  struct FromKernel {
    uint32_t received = 0;
    uint32_t dropped = 0;
  };
  virtual FromKernel SendFromKernel() = 0;

  // Moves what workers without a queue of their own on this port left here out of it.
  virtual void SendRelayed() = 0;
};

}  // namespace steelyard::worker
