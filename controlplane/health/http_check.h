// SPDX-License-Identifier: Apache-2.0
//
// TYPE_HTTP: GET over HTTP/1.1 (RFC 9112); passes when the status is the expected one, or without
// one any 2xx or 3xx. Redirects are not followed. The Host header is http_host, else the backend's
// address (RFC 9110 section 7.2; an IPv6 address in brackets). The response is hostile: its header
// may have kMaxHttpHeaderBytes, and its body is not read.
#pragma once

#include "controlplane/health/check.h"

namespace steelyard::controlplane {

inline constexpr uint32_t kMaxHttpHeaderBytes = 16 * 1024;

std::shared_ptr<Check> MakeHttpCheck(const CheckRequest& request);

}  // namespace steelyard::controlplane
