// SPDX-License-Identifier: Apache-2.0
//
// The ranges and the defaults of the desired state, in one place for the reader, the validation and
// the resolution. All ranges include both ends.
#pragma once

#include <cstddef>
#include <cstdint>

namespace steelyard::controlplane {

struct Range {
  uint64_t min;
  uint64_t max;
  constexpr bool Contains(uint64_t value) const { return value >= min && value <= max; }
};

inline constexpr size_t kMaxNameLength = 63;
inline constexpr size_t kMaxHttpTextLength = 1024;

inline constexpr int kMaxBackendsPerService = 65535;

inline constexpr Range kPortRange{1, 65535};
inline constexpr Range kWeightRange{0, 65535};
inline constexpr Range kPriorityRange{0, 65535};
inline constexpr Range kPersistenceTimeoutRangeMs{1'000, 86'400'000};
inline constexpr Range kIpv4PrefixLengthRange{1, 32};
inline constexpr Range kIpv6PrefixLengthRange{1, 128};
inline constexpr Range kMaxSessionsRange{0, UINT32_MAX};  // 0: no limit
// The session clock counts milliseconds in 32 bits: a day keeps far from half its circle.
inline constexpr Range kIdleTimeoutRangeMs{1'000, 86'400'000};
inline constexpr Range kHealthIntervalRangeMs{100, 3'600'000};
inline constexpr Range kHealthTimeoutRangeMs{10, 3'600'000};
inline constexpr Range kHealthThresholdRange{1, 100};
inline constexpr Range kHttpStatusRange{100, 599};
inline constexpr Range kToaKindRange{6, 255};  // minus those that TCP itself uses: validate.cc

inline constexpr Range kTtlRange{1, 255};
inline constexpr Range kNewSessionRateRange{0, 1'000'000'000};  // 0: no limit

inline constexpr uint32_t kDefaultWeight = 1;
inline constexpr uint32_t kDefaultGuePort = 6080;  // IANA's
inline constexpr uint32_t kDefaultTunnelTtl = 64;
inline constexpr uint32_t kDefaultToaKind = 254;  // RFC 4727: for experiments
inline constexpr uint64_t kDefaultTcpSynSentMs = 5'000;
inline constexpr uint64_t kDefaultTcpSynReceivedMs = 10'000;
inline constexpr uint64_t kDefaultTcpEstablishedMs = 350'000;
inline constexpr uint64_t kDefaultTcpClosingMs = 60'000;
inline constexpr uint64_t kDefaultTcpTimeWaitMs = 5'000;
inline constexpr uint64_t kDefaultTcpClosedMs = 1'000;
inline constexpr uint64_t kDefaultUdpMs = 30'000;
// Of outbound gateways, which hosts of every kind stand behind: the least that RFCs let NATs have,
// where they let them choose.
inline constexpr uint64_t kDefaultGatewayTcpEstablishedMs =
    7'440'000;  // RFC 5382, REQ-5: 2 h 4 min
// Every other state of TCP. RFC 5382, REQ-5, and after RST too: RFC 7857, section 2.2.
inline constexpr uint64_t kDefaultGatewayTcpTransitoryMs = 240'000;
inline constexpr uint64_t kDefaultGatewayUdpMs =
    300'000;  // RFC 4787, REQ-5: recommended; floor 2 min
inline constexpr uint64_t kDefaultGatewayIcmpMs = 60'000;  // RFC 5508, REQ-2
inline constexpr uint64_t kDefaultPersistenceTimeoutMs = 300'000;
inline constexpr uint64_t kDefaultHealthIntervalMs = 2'000;
inline constexpr uint64_t kDefaultHealthTimeoutMs = 1'000;
inline constexpr uint32_t kDefaultHealthRise = 2;
inline constexpr uint32_t kDefaultHealthFall = 3;

}  // namespace steelyard::controlplane
