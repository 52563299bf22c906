// SPDX-License-Identifier: Apache-2.0
//
// The command line of steelyard-dataplane, checked as far as it can be without touching the system.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "dpdk/port_spec.h"
#include "net/result.h"

namespace steelyard {

struct DataplaneOptions {
  std::vector<dpdk::PortSpec> ports;
  std::string kernel_interface_prefix;
  uint32_t main_core = 0;  // CPU numbers
  std::vector<uint32_t> worker_cores;
  bool use_huge_pages = true;
  uint32_t memory_mib = 0;
  std::string control_socket;
  uint32_t session_capacity = 0;       // per worker, IPv4 on both sides
  uint32_t session_capacity_ipv6 = 0;  // per worker, IPv6 on a side
  std::string session_directory;       // empty: DefaultSessionDirectory
  bool discard_sessions = false;
  bool take_over = false;
  bool in_background = false;
  bool check_ownership = false;
  std::vector<std::string> dpdk_plugins;  // shared objects
  uint32_t reassembly_datagrams = 0;      // per worker, at once; 0: fragments are dropped
};

// --help or --version was asked for: print this and exit with 0.
struct OptionsText {
  std::string text;
};

using ParsedOptions = std::variant<DataplaneOptions, OptionsText>;

// The error is a sentence without a trailing newline. `usable_cpus` are the CPUs that this process
// may run on, in ascending order and not empty: the defaults are taken from them.
net::Result<ParsedOptions> ParseOptions(int argc, const char* const* argv,
                                        const std::vector<uint32_t>& usable_cpus);

// "1", "1,3", "2-4,8", in the order given.
net::Result<std::vector<uint32_t>> ParseCpuList(const std::string& text);

}  // namespace steelyard
