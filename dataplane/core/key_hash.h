// SPDX-License-Identifier: Apache-2.0
//
// The hash that places a flow key in a worker's session table. Keyed with a random secret, since
// whoever could choose keys of equal hash could fill a bucket; unlike the steering hash it is
// nobody's business outside the table. Multiply and fold (128-bit product, halves XORed), as in
// wyhash's mum step.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "net/flow_key.h"

namespace steelyard::core {

struct HashSecret {
  std::array<uint64_t, 5> words{0x9e3779b97f4a7c15, 0xd1b54a32d192ed03, 0x8cb92ba72f3d8dd7,
                                0xaef17502108ef2d9, 0xf1357aea2e62a9c5};
};

// For what several boxes must hash alike, and a box after its restart.
inline constexpr HashSecret kPublicSecret;

__extension__ using Uint128 = unsigned __int128;

inline uint64_t MultiplyFold(uint64_t a, uint64_t b) {
  const auto product = static_cast<Uint128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t PortsWord(net::Be16 source, net::Be16 destination, net::L4Protocol protocol) {
  return uint64_t{source.raw()} << 32 | uint64_t{destination.raw()} << 8 |
         static_cast<uint64_t>(protocol);
}

inline uint64_t KeyHash(const net::FlowKey4& key, const HashSecret& secret) {
  uint64_t addresses;
  static_assert(offsetof(net::FlowKey4, destination) == 4);
  std::memcpy(&addresses, reinterpret_cast<const char*>(&key), sizeof addresses);
  const uint64_t ports = PortsWord(key.source_port, key.destination_port, key.protocol);
  const uint64_t mixed = MultiplyFold(addresses ^ secret.words[0], ports ^ secret.words[1]);
  return MultiplyFold(mixed ^ secret.words[2], secret.words[3]);
}

inline uint64_t KeyHash(const net::FlowKey6& key, const HashSecret& secret) {
  std::array<uint64_t, 4> addresses;
  std::memcpy(addresses.data(), key.source.bytes.data(), 16);
  std::memcpy(addresses.data() + 2, key.destination.bytes.data(), 16);
  const uint64_t ports = PortsWord(key.source_port, key.destination_port, key.protocol);
  const uint64_t source =
      MultiplyFold(addresses[0] ^ secret.words[0], addresses[1] ^ secret.words[1]);
  const uint64_t destination =
      MultiplyFold(addresses[2] ^ secret.words[2], addresses[3] ^ secret.words[3]);
  const uint64_t mixed =
      MultiplyFold(source ^ secret.words[4], destination ^ ports ^ secret.words[1]);
  // Again: one product alone is an arithmetic progression over the ports of a client.
  return MultiplyFold(mixed ^ secret.words[2], secret.words[3]);
}

inline uint64_t KeyHash(const net::FlowKey& key, const HashSecret& secret) {
  return key.is_v4() ? KeyHash(key.v4(), secret) : KeyHash(key.v6(), secret);
}

}  // namespace steelyard::core
