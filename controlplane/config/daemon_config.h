// SPDX-License-Identifier: Apache-2.0
//
// steelyard.yaml: what the control plane itself needs to run. Every key has a default, so an empty
// file is a valid one. Read once at start.
#pragma once

#include <optional>
#include <string>

#include "controlplane/config/yaml_reader.h"
#include "net/address.h"

namespace steelyard::controlplane {

struct DaemonConfig {
  std::string dataplane_socket = "/run/steelyard/dataplane.sock";
  std::string api_socket = "/run/steelyard/controlplane.sock";
  net::Endpoint metrics_address{net::Ipv4Address{net::Be32(0x7f000001)}, net::Be16(9464)};
  std::string state_directory = "/var/lib/steelyard";
  std::string services_file;  // empty: none, the state comes by the API alone
};

// With faults, `config` is not the file's.
struct DaemonConfigReading : Reading {
  DaemonConfig config;
  bool ok() const { return faults.empty(); }
};

DaemonConfigReading ParseDaemonConfig(const std::string& yaml);
DaemonConfigReading ReadDaemonConfig(const std::string& path);

}  // namespace steelyard::controlplane
