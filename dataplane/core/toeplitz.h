// SPDX-License-Identifier: Apache-2.0
//
// The Toeplitz hash that NICs use for receive-side scaling (Microsoft, "RSS hashing functions";
// input order source address, destination address, source port, destination port). The same key
// goes into the NIC, so hardware and software agree about a packet's owner. Immutable after
// construction; any thread.
//
// Two ways to the same hash; a CPU that has the second takes it:
//   kTable   one lookup an input byte
//   kAffine  products of bytes and 8x8 bit matrices, 64 an instruction; the algebra is in
//            toeplitz.cc
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "net/flow_key.h"

namespace steelyard::core {

inline constexpr size_t kToeplitzKeyBytes = 40;
using ToeplitzKey = std::array<uint8_t, kToeplitzKeyBytes>;

// Ours, from a random source; the same on every box, so that a session's owner is the same after a
// restart.
inline constexpr ToeplitzKey kSteeringKey = {
    0x3a, 0x1e, 0x2c, 0x4a, 0xbc, 0x83, 0x79, 0x08, 0xaa, 0xd4, 0x76, 0xb2, 0xa8, 0x68,
    0x77, 0x8c, 0x12, 0x5c, 0xbe, 0xbd, 0x4f, 0x43, 0xd6, 0xbc, 0x73, 0x62, 0xd3, 0x5b,
    0xdf, 0x84, 0xc6, 0x19, 0x59, 0x60, 0x8e, 0x7c, 0x6a, 0xa8, 0xac, 0x14};

class Toeplitz {
 public:
  enum class Way : uint8_t { kTable, kAffine };

  // Whether this CPU has GFNI and AVX-512 (BW and VBMI), as Ice Lake and Zen 4 have.
  static bool HasAffine();
  static Way FastestWay() { return HasAffine() ? Way::kAffine : Way::kTable; }

  // `way`: not kAffine unless HasAffine().
  explicit Toeplitz(const ToeplitzKey& key, Way way = FastestWay());

  uint32_t Hash(const net::FlowKey4& key) const;
  uint32_t Hash(const net::FlowKey6& key) const;
  uint32_t Hash(const net::FlowKey& key) const {
    return key.is_v4() ? Hash(key.v4()) : Hash(key.v6());
  }

 private:
  static constexpr size_t kMaxInputBytes = 36;

  template <size_t kInputBytes>
  uint32_t HashByTable(const uint8_t* input) const;
  template <size_t kInputBytes>
  uint32_t HashByAffine(const uint8_t* input) const;

  using Table = std::array<std::array<uint32_t, 256>, kMaxInputBytes>;
  std::unique_ptr<Table> table_;  // kTable
  // kAffine: row r of matrix k is the key's bits 8k + r to 8k + r + 7.
  alignas(64) std::array<std::array<uint8_t, 8>, kToeplitzKeyBytes> matrices_{};
};

}  // namespace steelyard::core
