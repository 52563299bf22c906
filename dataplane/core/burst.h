// SPDX-License-Identifier: Apache-2.0
//
// A burst: the unit of all work on a worker. Parallel arrays, so that a stage touches only what it
// needs. Filled by worker::PortQueue::Receive, Handoff::Receive or Reassembler::TakeComplete, given
// its verdicts by Pipeline::Process, sent on by the poll loop. Belongs to one worker.
#pragma once

#include <array>
#include <cstdint>

#include "net/packet.h"
#include "net/verdict.h"

namespace steelyard::core {

using PortId = uint16_t;

inline constexpr uint32_t kBurstCapacity = 32;  // bits of Burst::answered

// How far steering has brought a packet on its way to its owner.
enum class Steered : uint8_t {
  kNot,
  kByPort,  // the port hashes TCP and UDP as we do (worker::PortInfo::steers_in_hardware)
  kByHash,  // here is where its hash leads
  kHome,    // here is where configuration and packet lead (core/home.h): there is no other way
  kTurned,  // the same, and another worker has translated it already (Pipeline::TurnRound)
};

constexpr bool IsHome(Steered steered) {
  return steered >= Steered::kHome;
}

struct Burst {
  uint32_t count = 0;
  PortId in_port = 0;  // all packets of a burst came in there
  std::array<net::Packet, kBurstCapacity> packet;
  std::array<void*, kBurstCapacity> buffer;  // the driver's handle; core never looks into it
  std::array<Steered, kBurstCapacity> steered{};
  // Set by Pipeline::Process for every packet.
  std::array<net::Verdict, kBurstCapacity> verdict;
  std::array<PortId, kBurstCapacity> out_port;  // when forwarded or answered
  // A bit a packet, by position: it is dropped as its verdict says, and its buffer now holds an
  // answer to its sender that is to be sent.
  uint32_t answered = 0;

  // Set by Pipeline::Process: a bit for each packet that is another worker's to judge, and which
  // one's. It has no verdict yet.
  uint32_t handed_off = 0;
  std::array<uint16_t, kBurstCapacity> handed_to;

  bool IsHandedOff(uint32_t i) const { return (handed_off >> i & 1) != 0; }
  void HandOff(uint32_t i, uint32_t to_worker, Steered by) {
    handed_off |= 1u << i;
    handed_to[i] = static_cast<uint16_t>(to_worker);
    steered[i] = by;
  }

  // Fragments, off the fast path. Packets that were put together from fragments stand in memory of
  // the reassembler's and not in buffers of a port's, so they leave as copies.
  bool is_reassembled = false;                            // all of them were, or none
  std::array<uint16_t, kBurstCapacity> largest_fragment;  // when reassembled, bytes of IP packet
  // Set by Pipeline::Process: a bit for each packet that leaves, forwarded, punted or as an answer,
  // as copies of at most fragment_mtu bytes of IP packet: in fragments, unless it fits.
  uint32_t leaves_in_fragments = 0;
  std::array<uint16_t, kBurstCapacity> fragment_mtu;

  bool LeavesInFragments(uint32_t i) const { return (leaves_in_fragments >> i & 1) != 0; }
  void LeaveInFragments(uint32_t i, uint16_t mtu) {
    leaves_in_fragments |= 1u << i;
    fragment_mtu[i] = mtu;
  }
};
static_assert(kBurstCapacity <= 32, "a bit a packet");

}  // namespace steelyard::core
