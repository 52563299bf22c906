// SPDX-License-Identifier: Apache-2.0
//
// Maglev: a flow's addresses and ports choose its backend, and keep choosing the same one while the
// backends stay, on every box alike.
#include "core/key_hash.h"
#include "core/scheduler/maglev_table.h"

namespace steelyard::core {
namespace {

class Maglev : public Scheduler {
 public:
  explicit Maglev(std::span<const Backend> backends)
      : table_(backends, MaglevTable::Identity::kEndpoint) {}

  uint32_t Choose(const SchedulingContext& context) const override {
    return table_.Choose(KeyHash(context.client_flow, kPublicSecret), context);
  }

 private:
  MaglevTable table_;
};

}  // namespace

std::shared_ptr<const Scheduler> MakeMaglev(std::span<const Backend> backends) {
  return std::make_shared<Maglev>(backends);
}

}  // namespace steelyard::core
