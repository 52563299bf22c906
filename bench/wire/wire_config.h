// SPDX-License-Identifier: Apache-2.0
//
// What the wire plugin is told: a file of lines "key value" ('#' begins a comment). Every key is a
// row of the table in wire_config.cc. Read once, by the plugin's own thread.
#pragma once

#include <cstdint>
#include <string>

#include "net/address.h"
#include "net/result.h"

namespace steelyard::wire {

// What stands between the two ports, and so what the backends' side must see of a client's packet.
enum class Box : uint8_t {
  kFullNat,  // a local address to a backend
  kWire,     // as it was sent: testpmd's io, macswap and csum
  kSwap,     // source and destination exchanged: testpmd's 5tswap
};

struct WireConfig {
  Box box = Box::kFullNat;
  net::L4Protocol protocol = net::L4Protocol::kTcp;
  uint32_t flows = 1000;
  uint32_t frame_bytes = 64;  // of data, with the four bytes of the frame check sequence
  bool set_up = true;  // false: data of flows that nobody opened, for a box that does not care
  uint64_t data_packets = 0;  // of each side; 0: without end
  // Of data, of each side, that may be on their way; 0: any number. What is lost stays on its way.
  uint32_t window = 0;
  // Every n-th packet's checksums are computed, the others' are not.
  uint32_t checksum_interval = 1;

  // Addresses count up from these. One family a side.
  net::IpAddress client;  // of flow 0
  net::IpAddress vip;
  net::Be16 vip_port;
  net::IpAddress local_address;
  uint32_t local_addresses = 1;
  net::IpAddress backend;
  uint32_t backends = 1;
  net::Be16 backend_port;
  net::MacAddress client_mac, backend_mac;  // whom the box sends to on either side

  std::string results;  // the file that figures go to
  // The file that a LearntFlow (generator.h) of each flow goes to when all are set up; empty: none.
  std::string learnt;
};

// The text of a file, not its name.
net::Result<WireConfig> ParseWireConfig(const std::string& text);

}  // namespace steelyard::wire
