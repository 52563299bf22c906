// SPDX-License-Identifier: Apache-2.0
//
// Integers in network byte order. The type says the order: a Be16 cannot be mistaken for a number,
// and is turned into one only by value(). Trivially copyable, no alignment demand of their own, so a
// wire struct made of them may be laid over any byte of a packet.
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>

namespace steelyard::net {

static_assert(std::endian::native == std::endian::little, "byte order is swapped unconditionally");

constexpr uint16_t SwapBytes(uint16_t value) { return __builtin_bswap16(value); }
constexpr uint32_t SwapBytes(uint32_t value) { return __builtin_bswap32(value); }
constexpr uint64_t SwapBytes(uint64_t value) { return __builtin_bswap64(value); }

template <typename Integer>
class __attribute__((packed)) BigEndian {
 public:
  constexpr BigEndian() = default;
  constexpr explicit BigEndian(Integer host_value) : raw_(SwapBytes(host_value)) {}

  // From the bytes as they stand on the wire, read as a native integer.
  static constexpr BigEndian FromRaw(Integer raw) {
    BigEndian result;
    result.raw_ = raw;
    return result;
  }

  constexpr Integer value() const { return SwapBytes(static_cast<Integer>(raw_)); }
  constexpr Integer raw() const { return raw_; }

  friend constexpr bool operator==(BigEndian a, BigEndian b) { return a.raw_ == b.raw_; }
  friend constexpr auto operator<=>(BigEndian a, BigEndian b) { return a.value() <=> b.value(); }

 private:
  Integer raw_ = 0;
};

using Be16 = BigEndian<uint16_t>;
using Be32 = BigEndian<uint32_t>;
using Be64 = BigEndian<uint64_t>;

static_assert(sizeof(Be16) == 2 && alignof(Be16) == 1);
static_assert(sizeof(Be32) == 4 && alignof(Be32) == 1);
static_assert(sizeof(Be64) == 8 && alignof(Be64) == 1);

}  // namespace steelyard::net
