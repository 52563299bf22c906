// SPDX-License-Identifier: Apache-2.0
//
// Every metric of steelyard, one row each in metrics_table.cc: name, type, help, labels, and the
// function that reads its values out of a MetricsData. Adding one is one row there. Names follow
// the Prometheus conventions: prefix steelyard_, base units, counters end in _total. Pure, any
// thread.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "controlplane/metrics/metrics_data.h"

namespace steelyard::controlplane {

// Families without a value are left out.
std::vector<prometheus::MetricFamily> CollectMetrics(const MetricsData& data);

}  // namespace steelyard::controlplane
