// SPDX-License-Identifier: Apache-2.0
//
// Fragmenter: cuts one packet into fragments that fit an MTU (RFC 791 section 3.2, RFC 8200 section
// 4.5). Whether the packet may be cut at all is for the caller to know. Stateless but for the view;
// any thread.
#pragma once

#include <array>
#include <cstdint>

#include "core/key_hash.h"
#include "net/packet.h"

namespace steelyard::core {

class Fragmenter {
 public:
  // `packet` is one that the parser has accepted, whole (no fragment), without padding, and stays
  // as it is while this object lives. `mtu` counts bytes of IP packet. `identification`: IPv4 takes
  // the lower half.
  Fragmenter(const net::Packet& packet, uint16_t mtu, uint32_t identification);

  // 1: it fits as it is. 0: it does not, and the MTU has no room for its headers.
  uint32_t count() const { return count_; }

  // Writes fragment `number`, from 0 on, as a frame of no more than an Ethernet header and the MTU.
  // Returns its length.
  uint32_t Write(uint32_t number, uint8_t* out) const;

 private:
  uint32_t WriteIpv4Headers(bool is_first, uint8_t* out) const;
  uint32_t WriteIpv6Headers(uint8_t* out) const;

  const net::Packet packet_;
  const uint32_t identification_;
  bool is_v4_;
  uint32_t header_bytes_;        // with Ethernet, that every fragment repeats
  uint32_t next_header_offset_;  // IPv6: of the byte that is to name the fragment header
  uint32_t piece_bytes_;         // of payload in every fragment but the last
  uint32_t count_;
};

// Identifications for fragments: they rise by one for packets between two addresses, so that one
// comes again as late as possible, and begin where nobody outside can know (RFC 7739 section 5.3,
// for both families). An identification that a packet brought is not kept: it is unique among the
// packets of its sender, and what full NAT sends from a local address has many senders (RFC 6864
// section 5.3.1). One object a worker.
class FragmentIdentification {
 public:
  explicit FragmentIdentification(uint64_t seed);
  // `packet` as for Fragmenter.
  uint32_t Next(const net::Packet& packet);

 private:
  HashSecret secret_;
  std::array<uint32_t, 64> counters_;  // by hash of the addresses
};

}  // namespace steelyard::core
