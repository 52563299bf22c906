// SPDX-License-Identifier: Apache-2.0
//
// The Internet checksum (RFC 1071), in full and by difference (RFC 1624). Sums are one's complement sums
// of 16-bit words as they lie in memory: such a sum does not care about byte order as long as all of its
// words are read alike, so nothing is swapped.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "net/address.h"
#include "net/byte_order.h"

namespace steelyard::net {

// An unfolded sum; 2^48 words fit.
using ChecksumSum = uint64_t;

ChecksumSum SumBytes(const void* bytes, size_t length, ChecksumSum sum = 0);

// Of a header of a multiple of four bytes that is known when this is compiled: no loop is left.
template <typename Header>
ChecksumSum SumHeader(const Header& header) {
  static_assert(sizeof(Header) % 4 == 0);
  ChecksumSum sum = 0;
#pragma GCC unroll 16
  for (size_t at = 0; at < sizeof(Header); at += 4) {
    uint32_t word;
    std::memcpy(&word, reinterpret_cast<const uint8_t*>(&header) + at, 4);
    sum += word;
  }
  return sum;
}

// A number plus itself with its halves exchanged has the sum of its halves in the upper one, the
// carry of the lower one included.
constexpr uint16_t FoldSum(ChecksumSum sum) {
  sum += std::rotl(sum, 32);
  auto upper = static_cast<uint32_t>(sum >> 32);
  upper += std::rotl(upper, 16);
  return static_cast<uint16_t>(upper >> 16);
}

// The checksum field over what was summed (its own field being zero or left out).
inline Be16 ChecksumOf(ChecksumSum sum) {
  return Be16::FromRaw(static_cast<uint16_t>(~FoldSum(sum)));
}

// Of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
ChecksumSum PseudoHeaderSum(Ipv4Address source, Ipv4Address destination, L4Protocol protocol,
                            uint32_t l4_bytes);
ChecksumSum PseudoHeaderSum(const Ipv6Address& source, const Ipv6Address& destination,
                            L4Protocol protocol, uint32_t l4_bytes);

// The difference that a rewrite makes to the sum of the words it touches: one's complement, so it can be
// collected over several fields, kept in a session and applied to any checksum that covers them.
class ChecksumDelta {
 public:
  constexpr ChecksumDelta() = default;
  constexpr explicit ChecksumDelta(uint16_t folded) : sum_(folded) {}

  constexpr ChecksumDelta& Replace(Be16 before, Be16 after) {
    sum_ += static_cast<uint16_t>(~before.raw());
    sum_ += after.raw();
    return *this;
  }
  constexpr ChecksumDelta& Replace(Be32 before, Be32 after) {
    sum_ += static_cast<uint32_t>(~before.raw());
    sum_ += after.raw();
    return *this;
  }
  ChecksumDelta& Replace(const IpAddress& before, const IpAddress& after);
  // `length` bytes (even) at an even offset of the checksummed data.
  ChecksumDelta& Replace(const void* before, const void* after, size_t length);
  ChecksumDelta& Add(const void* added, size_t length) {
    sum_ += SumBytes(added, length);
    return *this;
  }
  constexpr ChecksumDelta& Add(ChecksumDelta other) {
    sum_ += other.sum_;
    return *this;
  }

  constexpr uint16_t folded() const { return FoldSum(sum_); }

  // RFC 1624 equation 3: HC' = ~(~HC + ~m + m').
  constexpr Be16 ApplyTo(Be16 checksum) const {
    return Be16::FromRaw(
        static_cast<uint16_t>(~FoldSum(sum_ + static_cast<uint16_t>(~checksum.raw()))));
  }
  // UDP sends a sum of zero as all ones (RFC 768).
  constexpr Be16 ApplyToUdp(Be16 checksum) const {
    const Be16 updated = ApplyTo(checksum);
    return updated.raw() == 0 ? Be16::FromRaw(0xffff) : updated;
  }

 private:
  ChecksumSum sum_ = 0;
};

}  // namespace steelyard::net
