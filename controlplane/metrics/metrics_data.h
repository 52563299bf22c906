// SPDX-License-Identifier: Apache-2.0
//
// Everything that a scrape shows, at one moment. The daemon's thread makes one, never touches it
// again and hands it over (MetricsServer::Set); scrape threads read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/health/health_checker.h"
#include "dataplane.pb.h"

namespace steelyard::controlplane {

struct MetricsData {
  std::string controlplane_version;
  uint64_t generation = 0;     // of the desired state
  uint64_t resyncs_total = 0;  // as in GetVersionResponse
  std::vector<HealthStatus> health;

  // Absent while the dataplane is away: its old numbers are not shown as if they were new.
  std::optional<v1::GetStatusResponse> status;
  std::optional<v1::GetCountersResponse> counters;
};

}  // namespace steelyard::controlplane
