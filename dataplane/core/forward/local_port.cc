// SPDX-License-Identifier: Apache-2.0
#include "core/forward/local_port.h"

#include <array>

namespace steelyard::core {
namespace {

constexpr uint32_t kPortCount = 65536 - kFirstLocalPort;
// 2^10 * 3^2 * 7, so that a step of one more than a multiple of 42 visits every port. Each search
// has a step of its own (double hashing): were it the same for all, ports in use would lie in runs
// along it, as in linear probing, and a search that begins in one would end in it.
static_assert(kPortCount == 1024 * 9 * 7);
constexpr uint32_t kStepUnit = 2 * 3 * 7;
// Candidates whose buckets are fetched together.
constexpr uint32_t kBatch = 8;
// At 99% occupancy a search of this length fails once in 150,000 times.
constexpr uint32_t kMaxBatches = 148;
// On the address that a search begins with; at 90% occupancy one in a million goes beyond.
constexpr uint32_t kBatchesOnFirstAddress = 16;

net::Be16 PortAt(uint32_t position) {
  return net::Be16(static_cast<uint16_t>(kFirstLocalPort + position));
}

struct Found {
  std::optional<net::Endpoint> local;
  uint32_t probes = 0;
};

// The way of one search through addresses and ports.
class Probes {
 public:
  Probes(const PacketContext& context, const LocalPortSearch& search)
      : sessions_(context.sessions), search_(search) {
    auto& random = context.worker.random;
    first_address_ = search.paired_with ? net::AddressHash{}(*search.paired_with) % AddressCount()
                                        : random() % AddressCount();
    position_ = static_cast<uint32_t>(random()) % kPortCount;
    step_ = static_cast<uint32_t>(random()) % (kPortCount / kStepUnit) * kStepUnit + 1;
  }

  Found Run() {
    for (uint32_t batch = 0; batch < kMaxBatches; ++batch) {
      const net::IpAddress& address = AddressOf(batch);
      std::array<net::FlowKey, kBatch> replies;
      std::array<uint64_t, kBatch> hashes;
      for (uint32_t i = 0; i < kBatch; ++i, position_ = (position_ + step_) % kPortCount) {
        replies[i] = net::FlowKey(search_.remote, {address, PortAt(position_)}, search_.protocol);
        hashes[i] = KeyHash(replies[i], sessions_.secret());
        sessions_.PrefetchBucket(hashes[i]);
      }
      for (uint32_t i = 0; i < kBatch; ++i)
        if (sessions_.Find(replies[i], hashes[i]) == kNoFlow)
          return {replies[i].destination, batch * kBatch + i + 1};
    }
    return {std::nullopt, kMaxBatches * kBatch};
  }

 private:
  size_t AddressCount() const { return search_.local_addresses.size(); }
  const net::IpAddress& AddressOf(uint32_t batch) const {
    const uint32_t turn = batch < kBatchesOnFirstAddress ? 0 : batch - kBatchesOnFirstAddress + 1;
    return search_.local_addresses[(first_address_ + turn) % AddressCount()];
  }

  const SessionTable& sessions_;
  const LocalPortSearch& search_;
  size_t first_address_;
  uint32_t position_;
  uint32_t step_;
};

uint64_t HashOf(const PacketContext& context, const Service& service,
                const LocalPortSearch& search) {
  const net::Endpoint any_port_of_it{search.local_addresses.front(), {}};
  const net::FlowKey key(search.remote, any_port_of_it, search.protocol);
  // Another configuration may bring addresses.
  return KeyHash(key, context.sessions.secret()) + service.slot +
         (context.snapshot.generation << 32);
}

}  // namespace

std::optional<net::Endpoint> ChooseLocalEndpoint(const PacketContext& context,
                                                 const Service& service,
                                                 const LocalPortSearch& search) {
  if (search.local_addresses.empty()) return std::nullopt;
  WorkerState& worker = context.worker;
  ServiceCounters& counters = worker.services[service.slot];
  const uint64_t hash = HashOf(context, service, search);
  if (worker.exhausted_remotes.Contains(hash, context.now_ms)) {
    counters.local_ports_exhausted_packets.Add(1);
    return std::nullopt;
  }
  const Found found = Probes(context, search).Run();
  counters.local_port_searches.Add(1);
  counters.local_port_probes.Add(found.probes);
  if (found.probes > kLongSearchProbes) counters.local_port_long_searches.Add(1);
  if (!found.local) {
    worker.exhausted_remotes.Add(hash, context.now_ms);
    counters.local_ports_exhausted_packets.Add(1);
  }
  return found.local;
}

}  // namespace steelyard::core
