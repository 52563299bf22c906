// SPDX-License-Identifier: Apache-2.0
#include "net/checksum.h"

namespace steelyard::net {

ChecksumSum SumBytes(const void* bytes, size_t length, ChecksumSum sum) {
  const auto* at = static_cast<const uint8_t*>(bytes);
  // 32-bit words into a 64-bit sum: no carry to look after for 2^32 words.
  for (; length >= 4; length -= 4, at += 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    sum += word;
  }
  if (length >= 2) {
    uint16_t word;
    std::memcpy(&word, at, 2);
    sum += word;
    at += 2;
    length -= 2;
  }
  if (length == 1) sum += *at;  // padded with a zero behind it, which on this byte order is the high half
  return sum;
}

ChecksumSum PseudoHeaderSum(Ipv4Address source, Ipv4Address destination, L4Protocol protocol,
                            uint32_t l4_bytes) {
  return ChecksumSum{source.bits.raw()} + destination.bits.raw() +
         Be16(static_cast<uint8_t>(protocol)).raw() + Be32(l4_bytes).raw();
}

ChecksumSum PseudoHeaderSum(const Ipv6Address& source, const Ipv6Address& destination,
                            L4Protocol protocol, uint32_t l4_bytes) {
  ChecksumSum sum = Be32(l4_bytes).raw();
  sum += Be32(static_cast<uint8_t>(protocol)).raw();
  sum = SumBytes(source.bytes.data(), 16, sum);
  return SumBytes(destination.bytes.data(), 16, sum);
}

ChecksumDelta& ChecksumDelta::Replace(const void* before, const void* after, size_t length) {
  sum_ += static_cast<uint16_t>(~FoldSum(SumBytes(before, length)));
  sum_ += SumBytes(after, length);
  return *this;
}

ChecksumDelta& ChecksumDelta::Replace(const IpAddress& before, const IpAddress& after) {
  // Only the bytes that stand in a header count; an IPv4 address is held with a prefix.
  const size_t before_bytes = before.is_v4() ? 4 : 16;
  const size_t after_bytes = after.is_v4() ? 4 : 16;
  sum_ += static_cast<uint16_t>(
      ~FoldSum(SumBytes(before.v6().bytes.data() + 16 - before_bytes, before_bytes)));
  sum_ += SumBytes(after.v6().bytes.data() + 16 - after_bytes, after_bytes);
  return *this;
}

}  // namespace steelyard::net
