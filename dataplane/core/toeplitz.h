// SPDX-License-Identifier: Apache-2.0
//
// The Toeplitz hash that NICs use for receive-side scaling (Microsoft, "RSS hashing functions";
// input order source address, destination address, source port, destination port), by table: one
// lookup an input byte. The same key goes into the NIC, so hardware and software agree about a
// packet's owner. Immutable after construction; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "net/flow_key.h"

namespace steelyard::core {

inline constexpr size_t kToeplitzKeyBytes = 40;
using ToeplitzKey = std::array<uint8_t, kToeplitzKeyBytes>;

class Toeplitz {
 public:
  explicit Toeplitz(const ToeplitzKey& key);

  uint32_t Hash(const net::FlowKey4& key) const;
  uint32_t Hash(const net::FlowKey6& key) const;
  uint32_t Hash(const net::FlowKey& key) const {
    return key.is_v4() ? Hash(key.v4()) : Hash(key.v6());
  }

 private:
  static constexpr size_t kMaxInputBytes = 36;
  uint32_t HashBytes(std::span<const uint8_t> input) const;

  std::unique_ptr<std::array<std::array<uint32_t, 256>, kMaxInputBytes>> table_;
};

}  // namespace steelyard::core
