// SPDX-License-Identifier: Apache-2.0
//
// One frame in memory, as every room below the drivers sees it: contiguous bytes, and how far they may
// grow to the front. Whoever filled it in owns the memory; a view is copied freely.
#pragma once

#include <cstdint>

namespace steelyard::net {

struct Packet {
  uint8_t* data = nullptr;  // the first byte of the Ethernet header
  uint32_t length = 0;      // bytes from data
  uint32_t headroom = 0;    // writable bytes before data
};

}  // namespace steelyard::net
