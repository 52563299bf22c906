// SPDX-License-Identifier: Apache-2.0
#include "worker/dispatch.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "core/fragment/fragmenter.h"

namespace steelyard::worker {
namespace {

using net::Verdict;

// Positions in a burst, in the order of arrival.
class IndexList {
 public:
  void Add(uint32_t index) { indices_[size_++] = static_cast<uint8_t>(index); }
  bool empty() const { return size_ == 0; }
  std::span<const uint8_t> all() const { return {indices_.data(), size_}; }

 private:
  std::array<uint8_t, core::kBurstCapacity> indices_;
  uint32_t size_ = 0;
};

constexpr std::array<uint8_t, core::kBurstCapacity> kAllIndices = [] {
  std::array<uint8_t, core::kBurstCapacity> indices{};
  for (uint8_t i = 0; i < core::kBurstCapacity; ++i) indices[i] = i;
  return indices;
}();

bool IsAnswered(const core::Burst& burst, uint32_t index) {
  return (burst.answered >> index & 1) != 0;
}

void MarkRefused(core::Burst& burst, std::span<const uint8_t> refused, Verdict verdict) {
  for (const uint8_t index : refused) {
    burst.handed_off &= ~(1u << index);
    if (IsAnswered(burst, index))
      burst.answered &= ~(1u << index);  // dropped all the same
    else
      burst.verdict[index] = verdict;
  }
}

using Targets = std::array<uint16_t, core::kBurstCapacity>;

// Moves the packets that go to the same target as the first of `pending` out of it.
IndexList TakeSameTarget(const Targets& targets, IndexList& pending) {
  IndexList same;
  IndexList others;
  const uint16_t target = targets[pending.all().front()];
  for (const uint8_t index : pending.all()) (targets[index] == target ? same : others).Add(index);
  pending = others;
  return same;
}

void Send(core::Burst& burst, IndexList pending, std::span<PortQueue* const> ports) {
  while (!pending.empty()) {
    const IndexList group = TakeSameTarget(burst.out_port, pending);
    const core::PortId port = burst.out_port[group.all().front()];
    if (port < ports.size()) {
      const uint32_t sent = ports[port]->Send(burst, group.all());
      MarkRefused(burst, group.all().subspan(sent), Verdict::kTransmitQueueFull);
    } else {
      MarkRefused(burst, group.all(), Verdict::kNoRoute);
    }
  }
}

void PuntToKernel(core::Burst& burst, const IndexList& punted, PortQueue& in_port) {
  if (punted.empty()) return;
  const uint32_t taken = in_port.Punt(burst, punted.all());
  MarkRefused(burst, punted.all().subspan(taken), Verdict::kPuntQueueFull);
}

void HandOff(core::Burst& burst, IndexList pending, Handoff& handoff,
             core::WorkerCounters& counters) {
  while (!pending.empty()) {
    const IndexList group = TakeSameTarget(burst.handed_to, pending);
    const uint32_t taken = handoff.Send(burst, group.all(), burst.handed_to[group.all().front()]);
    counters.handoff_sent.Add(taken);
    MarkRefused(burst, group.all().subspan(taken), Verdict::kHandoffQueueFull);
  }
}

// --- in fragments ------------------------------------------------------------------------------

enum class Way { kToWire, kToKernel };

// Copies up to a burst of fragments from `first` on into buffers. False: there are not so many.
bool WriteSome(const core::Fragmenter& fragmenter, uint32_t first, PortQueue& port,
               core::Burst& fragments) {
  fragments.count = std::min(fragmenter.count() - first, core::kBurstCapacity);
  if (!port.Allocate(fragments)) return false;
  for (uint32_t i = 0; i < fragments.count; ++i)
    fragments.packet[i].length = fragmenter.Write(first + i, fragments.packet[i].data);
  return true;
}

// A burst of fragments from `first` on. False: not all of them were taken.
bool SendSome(const core::Fragmenter& fragmenter, uint32_t first, PortQueue& port, Way way,
              core::WorkerCounters& counters) {
  core::Burst fragments;
  if (!WriteSome(fragmenter, first, port, fragments)) return false;
  const auto all = std::span(kAllIndices).first(fragments.count);
  const uint32_t taken =
      way == Way::kToWire ? port.Send(fragments, all) : port.Punt(fragments, all);
  if (fragmenter.count() > 1) counters.fragments_sent.Add(taken);
  if (taken == fragments.count) return true;
  port.Release(fragments, all.subspan(taken));
  return false;
}

Verdict SendInFragments(const net::Packet& packet, uint16_t mtu, PortQueue& port, Way way,
                        core::WorkerState& worker) {
  const core::Fragmenter fragmenter(packet, mtu, worker.fragment_identification.Next(packet));
  if (fragmenter.count() == 0) return Verdict::kPacketTooBig;
  for (uint32_t first = 0; first < fragmenter.count(); first += core::kBurstCapacity) {
    if (!SendSome(fragmenter, first, port, way, worker.counters))
      return way == Way::kToWire ? Verdict::kTransmitQueueFull : Verdict::kPuntQueueFull;
  }
  return way == Way::kToWire ? Verdict::kForwarded : Verdict::kPunted;
}

// What was put together here and is another worker's goes there as it came: no buffer need hold it
// whole.
Verdict HandOffInFragments(const core::Burst& burst, uint32_t i, PortQueue& port, Handoff& handoff,
                           core::WorkerState& worker) {
  const net::Packet& packet = burst.packet[i];
  const core::Fragmenter fragmenter(packet, burst.largest_fragment[i],
                                    worker.fragment_identification.Next(packet));
  for (uint32_t first = 0; first < fragmenter.count(); first += core::kBurstCapacity) {
    core::Burst fragments;
    fragments.in_port = burst.in_port;
    fragments.steered.fill(burst.steered[i]);
    if (!WriteSome(fragmenter, first, port, fragments)) return Verdict::kHandoffQueueFull;
    const auto all = std::span(kAllIndices).first(fragments.count);
    const uint32_t taken = handoff.Send(fragments, all, burst.handed_to[i]);
    worker.counters.handoff_sent.Add(taken);
    worker.counters.handoff_fragments.Add(taken);
    if (taken == fragments.count) continue;
    port.Release(fragments, all.subspan(taken));
    return Verdict::kHandoffQueueFull;
  }
  return fragmenter.count() == 0 ? Verdict::kPacketTooBig : Verdict::kConsumed;
}

void SendAllInFragments(core::Burst& burst, std::span<PortQueue* const> ports, Handoff* handoff,
                        core::WorkerState& worker) {
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (!burst.LeavesInFragments(i)) continue;
    if (burst.IsHandedOff(i)) {
      burst.handed_off &= ~(1u << i);
      burst.verdict[i] = HandOffInFragments(burst, i, *ports[burst.in_port], *handoff, worker);
      continue;
    }
    Verdict& verdict = burst.verdict[i];
    if (verdict == Verdict::kPunted) {
      verdict = SendInFragments(burst.packet[i], burst.fragment_mtu[i], *ports[burst.in_port],
                                Way::kToKernel, worker);
    } else if (verdict == Verdict::kForwarded || IsAnswered(burst, i)) {
      const Verdict outcome = burst.out_port[i] < ports.size()
                                  ? SendInFragments(burst.packet[i], burst.fragment_mtu[i],
                                                    *ports[burst.out_port[i]], Way::kToWire, worker)
                                  : Verdict::kNoRoute;
      const auto index = static_cast<uint8_t>(i);
      if (outcome != Verdict::kForwarded) MarkRefused(burst, {&index, 1}, outcome);
    }
  }
}

// --- the end -----------------------------------------------------------------------------------

// Out of a port or to the kernel, in its own buffer.
bool LeavesWhole(const core::Burst& burst, uint32_t i) {
  return !burst.IsHandedOff(i) &&
         (burst.verdict[i] == Verdict::kForwarded || burst.verdict[i] == Verdict::kPunted ||
          IsAnswered(burst, i)) &&
         !burst.LeavesInFragments(i);
}

void CountAndReleaseRest(const core::Burst& burst, PortQueue& in_port,
                         core::WorkerCounters& counters) {
  IndexList ended;
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (burst.IsHandedOff(i)) continue;
    counters.verdicts[static_cast<size_t>(burst.verdict[i])].Add(1);
    if (!LeavesWhole(burst, i)) ended.Add(i);
  }
  if (!ended.empty() && !burst.is_reassembled) in_port.Release(burst, ended.all());
  if (burst.answered != 0)
    counters.icmp_errors_sent.Add(static_cast<uint64_t>(std::popcount(burst.answered)));
}

// Whether all are forwarded as they are, out of one port: so with nearly every burst, whose packets
// go from clients to backends, or back.
bool AllLeaveTogether(const core::Burst& burst, size_t port_count) {
  if ((burst.leaves_in_fragments | burst.handed_off | burst.answered) != 0 || burst.count == 0)
    return false;
  const core::PortId port = burst.out_port[0];
  bool together = port < port_count;
  for (uint32_t i = 0; i < burst.count; ++i)
    together &= burst.verdict[i] == Verdict::kForwarded && burst.out_port[i] == port;
  return together;
}

void SendTogether(core::Burst& burst, std::span<PortQueue* const> ports,
                  core::WorkerCounters& counters) {
  const auto all = std::span(kAllIndices).first(burst.count);
  const uint32_t sent = ports[burst.out_port[0]]->Send(burst, all);
  if (sent == burst.count) [[likely]]
    return counters.verdicts[static_cast<size_t>(Verdict::kForwarded)].Add(sent);
  MarkRefused(burst, all.subspan(sent), Verdict::kTransmitQueueFull);
  CountAndReleaseRest(burst, *ports[burst.in_port], counters);
}

}  // namespace

void Dispatch(core::Burst& burst, std::span<PortQueue* const> ports, Handoff* handoff,
              core::WorkerState& worker) {
  if (AllLeaveTogether(burst, ports.size())) [[likely]]
    return SendTogether(burst, ports, worker.counters);
  if (burst.leaves_in_fragments != 0) [[unlikely]]
    SendAllInFragments(burst, ports, handoff, worker);
  if (burst.handed_off != 0) {
    IndexList handed_off;
    for (uint32_t i = 0; i < burst.count; ++i)
      if (burst.IsHandedOff(i)) handed_off.Add(i);
    HandOff(burst, handed_off, *handoff, worker.counters);
  }
  IndexList sent;
  IndexList punted;
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (!LeavesWhole(burst, i)) continue;
    (burst.verdict[i] == Verdict::kPunted ? punted : sent).Add(i);
  }
  PortQueue& in_port = *ports[burst.in_port];
  Send(burst, sent, ports);
  PuntToKernel(burst, punted, in_port);
  CountAndReleaseRest(burst, in_port, worker.counters);
}

}  // namespace steelyard::worker
