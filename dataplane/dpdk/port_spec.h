// SPDX-License-Identifier: Apache-2.0
//
// What --port names, as text and as the device that DPDK is asked for.
//
//   0000:03:00.0        a PCI device that is bound to a driver which DPDK can use
//   af_xdp:IFACE        a kernel interface through AF_XDP sockets
//   af_packet:IFACE     a kernel interface through packet sockets
//   memif:ARGS          shared memory with another process; ARGS as DPDK's memif driver takes them
//   pcap:ARGS           capture files; ARGS as DPDK's pcap driver takes them
//   vdev:NAME,ARGS      any other virtual device, exactly as DPDK's --vdev takes it
//
// To add a kind: a row in port_spec.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/result.h"

namespace steelyard::dpdk {

struct PortSpec {
  std::string text;              // as given
  std::string device;            // DPDK's name for it: "0000:03:00.0", "net_af_xdp1"
  std::string arguments;         // "key=value,…", without a leading comma; empty: none
  std::string kernel_interface;  // the interface that carries its packets; empty: none does
  uint16_t queues = 0;           // that are to be used at most; 0: one a worker
  uint32_t more_buffers = 0;     // for packets, beside those that any port has
  bool is_pci = false;
};

// `index` is the port's position, which makes the names of virtual devices unique.
net::Result<PortSpec> ParsePortSpec(std::string_view text, uint32_t index);

}  // namespace steelyard::dpdk
