// SPDX-License-Identifier: Apache-2.0
#include "worker/dispatch.h"

#include <array>
#include <bit>
#include <cstdint>

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

bool IsAnswered(const core::Burst& burst, uint32_t index) {
  return (burst.answered >> index & 1) != 0;
}

void MarkRefused(core::Burst& burst, std::span<const uint8_t> refused, Verdict verdict) {
  for (const uint8_t index : refused) {
    if (IsAnswered(burst, index))
      burst.answered &= ~(1u << index);  // dropped all the same
    else
      burst.verdict[index] = verdict;
  }
}

// Moves the packets that leave by the same port as the first of `pending` out of it.
IndexList TakeSamePort(const core::Burst& burst, IndexList& pending) {
  IndexList same;
  IndexList others;
  const core::PortId port = burst.out_port[pending.all().front()];
  for (const uint8_t index : pending.all())
    (burst.out_port[index] == port ? same : others).Add(index);
  pending = others;
  return same;
}

void Send(core::Burst& burst, IndexList pending, std::span<PortQueue* const> ports) {
  while (!pending.empty()) {
    const IndexList group = TakeSamePort(burst, pending);
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

// Whatever is neither sent nor punted by now ends here.
void CountAndReleaseRest(const core::Burst& burst, PortQueue& in_port,
                         core::WorkerCounters& counters) {
  IndexList ended;
  for (uint32_t i = 0; i < burst.count; ++i) {
    const Verdict verdict = burst.verdict[i];
    counters.verdicts[static_cast<size_t>(verdict)].Add(1);
    if (verdict != Verdict::kForwarded && verdict != Verdict::kPunted && !IsAnswered(burst, i))
      ended.Add(i);
  }
  if (!ended.empty()) in_port.Release(burst, ended.all());
  if (burst.answered != 0)
    counters.icmp_errors_sent.Add(static_cast<uint64_t>(std::popcount(burst.answered)));
}

}  // namespace

void Dispatch(core::Burst& burst, std::span<PortQueue* const> ports,
              core::WorkerCounters& counters) {
  IndexList sent;
  IndexList punted;
  for (uint32_t i = 0; i < burst.count; ++i) {
    if (burst.verdict[i] == Verdict::kForwarded || IsAnswered(burst, i)) sent.Add(i);
    if (burst.verdict[i] == Verdict::kPunted) punted.Add(i);
  }
  PortQueue& in_port = *ports[burst.in_port];
  Send(burst, sent, ports);
  PuntToKernel(burst, punted, in_port);
  CountAndReleaseRest(burst, in_port, counters);
}

}  // namespace steelyard::worker
