// SPDX-License-Identifier: Apache-2.0
//
// A number for how sessions lie in memory, computed from the structures themselves: memory that was
// written under another one is not a table of ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "core/session.h"
#include "core/steering.h"
#include "core/timer_wheel.h"

namespace steelyard::core {

// To be raised when the same bytes come to mean something else.
inline constexpr uint32_t kSessionLayoutVersion = 3;

constexpr uint64_t HashOfLayout(std::initializer_list<uint64_t> numbers) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const uint64_t number : numbers) hash = (hash ^ number) * 0x100000001b3;
  return hash;
}

inline constexpr uint64_t kSessionLayoutHash = HashOfLayout({
    kSessionLayoutVersion,
    sizeof(FlowState),
    offsetof(FlowState, bytes),
    offsetof(FlowState, packets),
    offsetof(FlowState, last_seen_ms),
    offsetof(FlowState, backend_slot),
    offsetof(FlowState, next_hop_generation),
    offsetof(FlowState, sequence_delta),
    offsetof(FlowState, timestamp_delta),
    offsetof(FlowState, outer_ttl),
    offsetof(FlowState, next_hop),
    offsetof(FlowState, address_checksum_delta),
    offsetof(FlowState, tcp_state),
    offsetof(FlowState, flags),
    offsetof(FlowState, protocol),
    offsetof(FlowState, forwarding_mode),
    sizeof(NarrowFlow),
    offsetof(NarrowFlow, source),
    offsetof(NarrowFlow, destination),
    offsetof(NarrowFlow, source_port),
    offsetof(NarrowFlow, destination_port),
    offsetof(NarrowFlow, new_source),
    offsetof(NarrowFlow, new_destination),
    offsetof(NarrowFlow, new_source_port),
    offsetof(NarrowFlow, new_destination_port),
    sizeof(WideFlow),
    offsetof(WideFlow, source),
    offsetof(WideFlow, destination),
    offsetof(WideFlow, source_port),
    offsetof(WideFlow, destination_port),
    offsetof(WideFlow, new_source),
    offsetof(WideFlow, new_destination),
    offsetof(WideFlow, new_source_port),
    offsetof(WideFlow, new_destination_port),
    sizeof(SessionRecord),
    offsetof(SessionRecord, service_slot),
    offsetof(SessionRecord, created_ms),
    offsetof(SessionRecord, next_free),
    offsetof(SessionRecord, initial_sequence),
    offsetof(SessionRecord, parent_template),
    offsetof(SessionRecord, child_count),
    offsetof(SessionRecord, stage),
    offsetof(SessionRecord, kind),
    offsetof(SessionRecord, home_bucket),
    offsetof(SessionRecord, fin_acknowledgment),
    offsetof(SessionRecord, fin_sender),
    sizeof(TimerLink),
    TimerWheel::kSlots,
    kTcpStateCount,
    kSessionKindCount,
    kSteeringBuckets,
});

}  // namespace steelyard::core
