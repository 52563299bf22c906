// SPDX-License-Identifier: Apache-2.0
#include "core/forward/local_port.h"

#include <array>

namespace steelyard::core {
namespace {

constexpr uint32_t kPortCount = 65536 - kFirstLocalPort;
// Coprime to kPortCount, so that the steps visit every port; far apart, so that a run of ports in
// use does not make a run of misses.
constexpr uint32_t kStep = 25'847;
static_assert(kPortCount % 2 == 0 && kStep % 2 == 1 && kStep % 3 != 0 && kStep % 7 != 0);
// Candidates whose buckets are fetched together.
constexpr uint32_t kBatch = 8;
// At 99% occupancy a search of this length fails once in 150,000 times.
constexpr uint32_t kMaxBatchesPerAddress = 148;

net::Be16 PortAt(uint32_t position) {
  return net::Be16(static_cast<uint16_t>(kFirstLocalPort +
                                         static_cast<uint64_t>(position) * kStep % kPortCount));
}

}  // namespace

std::optional<net::Endpoint> ChooseLocalEndpoint(const PacketContext& context,
                                                 std::span<const net::IpAddress> local_addresses,
                                                 const net::Endpoint& backend,
                                                 net::L4Protocol protocol) {
  if (local_addresses.empty()) return std::nullopt;
  const SessionTable& sessions = context.sessions;
  const size_t first_address = context.worker.random() % local_addresses.size();
  for (size_t step = 0; step < local_addresses.size(); ++step) {
    const net::IpAddress& address =
        local_addresses[(first_address + step) % local_addresses.size()];
    uint32_t position = static_cast<uint32_t>(context.worker.random()) % kPortCount;
    for (uint32_t batch = 0; batch < kMaxBatchesPerAddress; ++batch) {
      std::array<net::FlowKey, kBatch> replies;
      std::array<uint64_t, kBatch> hashes;
      for (uint32_t i = 0; i < kBatch; ++i, ++position) {
        replies[i] = net::FlowKey(backend, {address, PortAt(position % kPortCount)}, protocol);
        hashes[i] = KeyHash(replies[i], sessions.secret());
        sessions.PrefetchBucket(hashes[i]);
      }
      for (uint32_t i = 0; i < kBatch; ++i)
        if (sessions.Find(replies[i], hashes[i]) == kNoFlow) return replies[i].destination;
    }
  }
  return std::nullopt;
}

}  // namespace steelyard::core
