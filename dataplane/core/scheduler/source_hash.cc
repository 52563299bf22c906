// SPDX-License-Identifier: Apache-2.0
//
// Source hash: the client's address alone chooses the backend, by a Maglev table. All flows of a
// client go to one host, those to other services too if these have the same hosts with the same
// weights and availability, on whatever port.
#include "core/key_hash.h"
#include "core/scheduler/maglev_table.h"

namespace steelyard::core {
namespace {

uint64_t HashOf(const net::IpAddress& client) {
  return KeyHash(net::FlowKey({client, {}}, {client, {}}, net::L4Protocol::kTcp), kPublicSecret);
}

class SourceHash : public Scheduler {
 public:
  explicit SourceHash(std::span<const Backend> backends)
      : table_(backends, MaglevTable::Identity::kAddress) {}

  uint32_t Choose(const SchedulingContext& context) const override {
    return table_.Choose(HashOf(context.client_flow.source.address), context);
  }

 private:
  MaglevTable table_;
};

}  // namespace

std::shared_ptr<const Scheduler> MakeSourceHash(std::span<const Backend> backends) {
  return std::make_shared<SourceHash>(backends);
}

}  // namespace steelyard::core
