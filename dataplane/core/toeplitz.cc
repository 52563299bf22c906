// SPDX-License-Identifier: Apache-2.0
#include "core/toeplitz.h"

#include <cstring>

namespace steelyard::core {
namespace {

// The 32 key bits that begin at `bit`.
uint32_t KeyWindow(const ToeplitzKey& key, size_t bit) {
  uint64_t bits = 0;
  for (size_t i = 0; i < 5; ++i) {
    const size_t at = bit / 8 + i;
    bits = bits << 8 | (at < key.size() ? key[at] : 0);
  }
  return static_cast<uint32_t>(bits >> (8 - bit % 8));
}

}  // namespace

Toeplitz::Toeplitz(const ToeplitzKey& key)
    : table_(std::make_unique<std::array<std::array<uint32_t, 256>, kMaxInputBytes>>()) {
  for (size_t byte = 0; byte < kMaxInputBytes; ++byte)
    for (uint32_t value = 0; value < 256; ++value) {
      uint32_t hash = 0;
      for (size_t bit = 0; bit < 8; ++bit)
        if (value & (0x80u >> bit)) hash ^= KeyWindow(key, byte * 8 + bit);
      (*table_)[byte][value] = hash;
    }
}

uint32_t Toeplitz::HashBytes(std::span<const uint8_t> input) const {
  uint32_t hash = 0;
  for (size_t i = 0; i < input.size(); ++i) hash ^= (*table_)[i][input[i]];
  return hash;
}

uint32_t Toeplitz::Hash(const net::FlowKey4& key) const {
  // The key's bytes stand in the order of the hash's input.
  static_assert(offsetof(net::FlowKey4, protocol) == 12);
  return HashBytes({reinterpret_cast<const uint8_t*>(&key), 12});
}

uint32_t Toeplitz::Hash(const net::FlowKey6& key) const {
  static_assert(offsetof(net::FlowKey6, protocol) == 36);
  return HashBytes({reinterpret_cast<const uint8_t*>(&key), 36});
}

}  // namespace steelyard::core
