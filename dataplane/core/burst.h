// SPDX-License-Identifier: Apache-2.0
//
// A burst: the unit of all work on a worker. Parallel arrays, so that a stage touches only what it
// needs. Filled by worker::PortQueue::Receive, given its verdicts by Pipeline::Process, sent on by
// the poll loop. Belongs to one worker.
#pragma once

#include <array>
#include <cstdint>

#include "net/packet.h"
#include "net/verdict.h"

namespace steelyard::core {

using PortId = uint16_t;

inline constexpr uint32_t kBurstCapacity = 32;  // bits of Burst::answered

struct Burst {
  uint32_t count = 0;
  PortId in_port = 0;  // all packets of a burst came in there
  std::array<net::Packet, kBurstCapacity> packet;
  std::array<void*, kBurstCapacity> buffer;  // the driver's handle; core never looks into it
  // Set by Pipeline::Process for every packet.
  std::array<net::Verdict, kBurstCapacity> verdict;
  std::array<PortId, kBurstCapacity> out_port;  // when forwarded or answered
  // A bit a packet, by position: it is dropped as its verdict says, and its buffer now holds an
  // answer to its sender that is to be sent.
  uint32_t answered = 0;
};

}  // namespace steelyard::core
