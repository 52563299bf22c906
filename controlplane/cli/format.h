// SPDX-License-Identifier: Apache-2.0
//
// Values as people read them in tables. Programs get numbers in base units from `-o json`.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane.pb.h"

namespace steelyard::controlplane::cli {

std::string FormatBytes(uint64_t bytes);        // "999 B", "1.5 KiB", "12 MiB"
std::string FormatDuration(uint64_t time_ms);   // "350ms", "12s", "3m05s", "2h10m", "4d3h"
std::string FormatAge(uint64_t since_unix_ms);  // until now; "-" for 0
std::string FormatEndpoint(const std::string& address, uint32_t port);  // "[2001:db8::1]:80"
std::string FormatEndpoint(const v1::Endpoint& endpoint);               // "-" when absent
std::string FormatList(const google::protobuf::RepeatedPtrField<std::string>& texts);  // "a, b"
std::string FormatTimeouts(const v1::Timeouts& timeouts);  // "udp 5m, icmp 60s"; those that are set

}  // namespace steelyard::controlplane::cli
