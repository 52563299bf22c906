// SPDX-License-Identifier: Apache-2.0
//
// Path MTUs towards backends, learnt from ICMP errors about tunnel packets (RFC 1191 section 6.3,
// RFC 4459 section 3.2): by backend slot, each forgotten after ten minutes. One worker's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/service.h"
#include "core/timer_wheel.h"
#include "net/wire.h"

namespace steelyard::core {

class PathMtus {
 public:
  PathMtus() : entries_(kMaxBackends) {}

  // A smaller one than hosts must take (RFC 8200 section 5; for IPv4 what RFC 1122 section 3.3.3
  // has every host take) is an attack or a fault.
  static constexpr uint16_t Least(net::Family family) {
    return family == net::Family::kIpv4 ? 576 : net::kLeastIpv6Mtu;
  }

  void Learn(BackendSlot slot, net::Family family, uint16_t mtu, uint32_t now_ms) {
    entries_[slot] = {std::max(mtu, Least(family)), now_ms + kLifetimeMs};
  }

  // UINT16_MAX: nothing is known.
  uint16_t Of(BackendSlot slot, uint32_t now_ms) const {
    const Entry& entry = entries_[slot];
    return entry.mtu != 0 && TimeBefore(now_ms, entry.until_ms) ? entry.mtu : UINT16_MAX;
  }

 private:
  static constexpr uint32_t kLifetimeMs = 600'000;
  struct Entry {
    uint16_t mtu = 0;
    uint32_t until_ms = 0;
  };
  std::vector<Entry> entries_;
};

}  // namespace steelyard::core
