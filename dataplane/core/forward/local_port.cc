// SPDX-License-Identifier: Apache-2.0
#include "core/forward/local_port.h"

#include <array>
#include <numeric>

namespace steelyard::core {
namespace {

// Candidates whose buckets are fetched together.
constexpr uint32_t kBatch = 8;
// In the session's own steering bucket. At 90% occupancy one in a thousand goes beyond.
constexpr uint32_t kBatchesInHomeBucket = 8;
// On the address that a search begins with; at 90% occupancy one in a million goes beyond.
constexpr uint32_t kBatchesOnFirstAddress = 16;
// At 99% occupancy a search of this length fails once in 150,000 times.
constexpr uint32_t kMaxBatches = 148;

// The way of a search through a number of positions, every one of them once. Each search begins
// anywhere and has a step of its own (double hashing): were it the same for all, ports in use would
// lie in runs along it, as in linear probing, and a search that begins in one would end in it.
class Way {
 public:
  template <typename Random>
  Way(uint32_t length, Random& random)
      : length_(length), position_(static_cast<uint32_t>(random()) % length) {
    do {
      step_ = (static_cast<uint32_t>(random()) | 1) % length;
    } while (std::gcd(step_, length) != 1);
  }
  uint32_t Next() {
    position_ += step_;
    if (position_ >= length_) position_ -= length_;
    return position_;
  }

 private:
  const uint32_t length_;
  uint32_t position_;
  uint32_t step_;
};

struct Found {
  std::optional<net::Endpoint> local;
  uint32_t probes = 0;
};

// One search through addresses and ports.
class Probes {
 public:
  Probes(const PacketContext& context, const LocalPortSearch& search)
      : context_(context),
        steering_(*context.snapshot.steering),
        search_(search),
        owner_(steering_.OwnerOf(context.home_bucket)),
        in_home_bucket_(kPortsPerBucket, context.worker.random) {
    first_address_ = search.paired_with ? net::AddressHash{}(*search.paired_with) % AddressCount()
                                        : context.worker.random() % AddressCount();
  }

  Found Run() {
    Found found;
    for (uint32_t batch = 0; batch < kMaxBatches; ++batch) {
      if (batch == 0 || (batch >= kBatchesOnFirstAddress && AddressCount() > 1))
        Use(AddressOf(batch));
      if (batch == kBatchesInHomeBucket)
        in_buckets_.emplace(kPortsPerBucket * steering_.BucketCount(owner_),
                            context_.worker.random);
      if (Try(batch < kBatchesInHomeBucket, found)) break;
    }
    return found;
  }

 private:
  size_t AddressCount() const { return search_.local_addresses.size(); }
  const net::IpAddress& AddressOf(uint32_t batch) const {
    const uint32_t turn = batch < kBatchesOnFirstAddress ? 0 : batch - kBatchesOnFirstAddress + 1;
    return search_.local_addresses[(first_address_ + turn) % AddressCount()];
  }

  void Use(const net::IpAddress& address) {
    local_.address = address;
    const net::FlowKey reply(search_.remote, local_, search_.protocol);
    if (address.is_v4())
      reply4_ = reply.v4();
    else
      reply6_ = reply.v6();
    ports_ = search_.steered_as_flow_to
                 ? steering_.PortsOf({local_, *search_.steered_as_flow_to, search_.protocol},
                                     FlowSide::kSource)
                 : steering_.PortsOf(reply, FlowSide::kDestination);
  }

  net::Be16 NextPort(bool in_home_bucket) {
    while (true) {
      const uint32_t position = in_home_bucket ? in_home_bucket_.Next() : in_buckets_->Next();
      const uint32_t bucket = in_home_bucket
                                  ? context_.home_bucket
                                  : steering_.BucketAmong(owner_, position / kPortsPerBucket);
      const net::Be16 port = ports_.At(bucket, position % kPortsPerBucket);
      if (port.value() >= kFirstLocalPort) return port;
    }
  }

  // Of the reply to that port.
  uint64_t HashOfReply(net::Be16 port) {
    const HashSecret& secret = context_.sessions.secret();
    if (local_.address.is_v4()) {
      reply4_.destination_port = port;
      return KeyHash(reply4_, secret);
    }
    reply6_.destination_port = port;
    return KeyHash(reply6_, secret);
  }

  // A port that the table only may hold counts as taken: to be sure would be to read its session.
  bool Try(bool in_home_bucket, Found& found) {
    const SessionTable& sessions = context_.sessions;
    std::array<net::Be16, kBatch> ports;
    std::array<uint64_t, kBatch> hashes;
    for (uint32_t i = 0; i < kBatch; ++i) {
      ports[i] = NextPort(in_home_bucket);
      hashes[i] = HashOfReply(ports[i]);
      sessions.PrefetchBucket(hashes[i]);
    }
    for (uint32_t i = 0; i < kBatch; ++i) {
      ++found.probes;
      if (sessions.MayHold(hashes[i])) continue;
      found.local = net::Endpoint{local_.address, ports[i]};
      return true;
    }
    return false;
  }

  const PacketContext& context_;
  const Steering& steering_;
  const LocalPortSearch& search_;
  const uint32_t owner_;
  Way in_home_bucket_;
  std::optional<Way> in_buckets_;  // of this worker
  size_t first_address_;
  net::Endpoint local_;   // no port
  net::FlowKey4 reply4_;  // to local_, if that is of the family
  net::FlowKey6 reply6_;
  Steering::Ports ports_;
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
