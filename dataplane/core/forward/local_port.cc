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
constexpr uint32_t kMaxBatchesPerAddress = 148;

net::Be16 PortAt(uint32_t position) {
  return net::Be16(static_cast<uint16_t>(kFirstLocalPort + position));
}

}  // namespace

std::optional<net::Endpoint> ChooseLocalEndpoint(const PacketContext& context,
                                                 std::span<const net::IpAddress> local_addresses,
                                                 const net::Endpoint& backend,
                                                 net::L4Protocol protocol) {
  if (local_addresses.empty()) return std::nullopt;
  const SessionTable& sessions = context.sessions;
  const size_t first_address = context.worker.random() % local_addresses.size();
  for (size_t turn = 0; turn < local_addresses.size(); ++turn) {
    const net::IpAddress& address =
        local_addresses[(first_address + turn) % local_addresses.size()];
    uint32_t position = static_cast<uint32_t>(context.worker.random()) % kPortCount;
    const uint32_t step =
        static_cast<uint32_t>(context.worker.random()) % (kPortCount / kStepUnit) * kStepUnit + 1;
    for (uint32_t batch = 0; batch < kMaxBatchesPerAddress; ++batch) {
      std::array<net::FlowKey, kBatch> replies;
      std::array<uint64_t, kBatch> hashes;
      for (uint32_t i = 0; i < kBatch; ++i, position = (position + step) % kPortCount) {
        replies[i] = net::FlowKey(backend, {address, PortAt(position)}, protocol);
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
