// SPDX-License-Identifier: Apache-2.0
//
// Words of the command line as values. What is wrong is a UsageError that names the word.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/config/bounds.h"
#include "dataplane.pb.h"

namespace steelyard::controlplane::cli {

uint64_t ParseNumber(const std::string& name, const std::string& text);
v1::Protocol ParseProtocol(const std::string& text);  // tcp, udp, icmp
// 192.0.2.1:80, [2001:db8::1]:80
v1::Endpoint ParseEndpoint(const std::string& text, Range ports = kPortRange);

}  // namespace steelyard::controlplane::cli
