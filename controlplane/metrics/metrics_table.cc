// SPDX-License-Identifier: Apache-2.0
#include "controlplane/metrics/metrics_table.h"

#include <array>
#include <functional>
#include <string_view>

#include "net/address.h"

namespace steelyard::controlplane {
namespace {

using prometheus::MetricType;

// At most three label names; the empty ones are not there.
using LabelNames = std::array<std::string_view, 3>;

// The values of one metric, as they are found.
class Series {
 public:
  explicit Series(const LabelNames& label_names) : label_names_(label_names) {}

  // `label_values` in the order of the names.
  void Add(double value, std::initializer_list<std::string_view> label_values = {}) {
    prometheus::ClientMetric& metric = metrics_.emplace_back();
    size_t index = 0;
    for (const std::string_view label_value : label_values)
      metric.label.push_back({std::string(label_names_.at(index++)), std::string(label_value)});
    metric.counter.value = metric.gauge.value = value;  // the family's type chooses one
  }

  std::vector<prometheus::ClientMetric> Take() { return std::move(metrics_); }

 private:
  const LabelNames& label_names_;
  std::vector<prometheus::ClientMetric> metrics_;
};

// "192.0.2.1:80", "[2001:db8::1]:80"
std::string BackendLabel(const std::string& address, uint32_t port) {
  const bool is_v6 = address.find(':') != std::string::npos;
  return (is_v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

// One value a worker, port, backend, service or gateway; `getter` is a member function of its
// message or a function of it.

template <auto getter>
void PerWorker(const MetricsData& data, Series& series) {
  if (!data.counters) return;
  for (const v1::WorkerCounters& worker : data.counters->workers())
    series.Add(static_cast<double>((worker.*getter)()), {std::to_string(worker.worker())});
}

template <auto getter>
void PerPort(const MetricsData& data, Series& series) {
  if (!data.counters) return;
  for (const v1::PortCounters& port : data.counters->ports())
    series.Add(static_cast<double>((port.*getter)()), {port.name()});
}

template <auto getter>
void PerPortStatus(const MetricsData& data, Series& series) {
  if (!data.status) return;
  for (const v1::Port& port : data.status->ports())
    series.Add(static_cast<double>((port.*getter)()), {port.name()});
}

template <auto getter>
void PerBackend(const MetricsData& data, Series& series) {
  if (!data.counters) return;
  for (const v1::ServiceCounters& service : data.counters->services()) {
    for (const v1::BackendCounters& backend : service.backends())
      series.Add(static_cast<double>((backend.*getter)()),
                 {service.name(), BackendLabel(backend.address(), backend.port())});
  }
}

template <auto getter>
void PerBackendAndDirection(const MetricsData& data, Series& series) {
  if (!data.counters) return;
  for (const v1::ServiceCounters& service : data.counters->services()) {
    for (const v1::BackendCounters& backend : service.backends()) {
      const std::string label = BackendLabel(backend.address(), backend.port());
      series.Add(static_cast<double>((backend.to_backend().*getter)()),
                 {service.name(), label, "to_backend"});
      series.Add(static_cast<double>((backend.to_client().*getter)()),
                 {service.name(), label, "to_client"});
    }
  }
}

template <auto getter>
void PerServiceSum(const MetricsData& data, Series& series) {
  if (!data.counters) return;
  for (const v1::ServiceCounters& service : data.counters->services()) {
    uint64_t sum = 0;
    for (const v1::BackendCounters& backend : service.backends()) sum += (backend.*getter)();
    series.Add(static_cast<double>(sum), {service.name()});
  }
}

template <auto getter>
void PerService(const MetricsData& data, Series& series) {
  if (!data.counters) return;
  for (const v1::ServiceCounters& service : data.counters->services())
    series.Add(static_cast<double>(std::invoke(getter, service)), {service.name()});
}

template <auto getter>
void PerGateway(const MetricsData& data, Series& series) {
  if (!data.counters) return;
  for (const v1::OutboundGatewayCounters& gateway : data.counters->outbound_gateways())
    series.Add(static_cast<double>(std::invoke(getter, gateway)), {gateway.name()});
}

template <auto getter>
void PerGatewayAndDirection(const MetricsData& data, Series& series) {
  if (!data.counters) return;
  for (const v1::OutboundGatewayCounters& gateway : data.counters->outbound_gateways()) {
    series.Add(static_cast<double>((gateway.to_outside().*getter)()),
               {gateway.name(), "to_outside"});
    series.Add(static_cast<double>((gateway.to_inside().*getter)()), {gateway.name(), "to_inside"});
  }
}

template <auto getter, typename Owner>
uint64_t OfLocalPorts(const Owner& owner) {
  return (owner.local_ports().*getter)();
}

template <auto function>
void PerHealth(const MetricsData& data, Series& series) {
  for (const HealthStatus& status : data.health)
    series.Add(static_cast<double>(function(status)),
               {status.service, BackendLabel(status.address, status.port)});
}

void Verdicts(const MetricsData& data, Series& series) {
  if (!data.counters) return;
  for (const v1::WorkerCounters& worker : data.counters->workers()) {
    for (const v1::VerdictCount& verdict : worker.verdicts())
      series.Add(static_cast<double>(verdict.packets()),
                 {std::to_string(worker.worker()), verdict.name()});
  }
}

void BuildInfo(const MetricsData& data, Series& series) {
  series.Add(1, {"steelyard-controlplane", data.controlplane_version});
  if (data.status) series.Add(1, {"steelyard-dataplane", data.status->version()});
}

bool IsUp(const HealthStatus& status) {
  return status.health == v1::HEALTH_UP || status.health == v1::HEALTH_UNCHECKED;
}
double HealthChangedSeconds(const HealthStatus& status) {
  return static_cast<double>(status.since_unix_ms) / 1e3;
}
uint64_t Checks(const HealthStatus& status) {
  return status.checks_total;
}
uint64_t CheckFailures(const HealthStatus& status) {
  return status.check_failures_total;
}

struct Metric {
  std::string_view name;
  MetricType type;
  LabelNames labels;
  std::string_view help;
  void (*collect)(const MetricsData& data, Series& series);
};

constexpr MetricType kCounter = MetricType::Counter;
constexpr MetricType kGauge = MetricType::Gauge;

// clang-format off: a table.
constexpr Metric kMetrics[] = {
    {"steelyard_build_info",
     kGauge,
     {"program", "version"},
     "Always 1; the labels tell the version of each running program.",
     BuildInfo},
    {"steelyard_generation",
     kGauge,
     {},
     "Generation of the desired state.",
     [](const MetricsData& data, Series& series) {
       series.Add(static_cast<double>(data.generation));
     }},
    {"steelyard_resyncs_total",
     kCounter,
     {},
     "Times the dataplane was found to differ from the desired state and was pushed whole.",
     [](const MetricsData& data, Series& series) {
       series.Add(static_cast<double>(data.resyncs_total));
     }},
    {"steelyard_dataplane_up",
     kGauge,
     {},
     "1 while the dataplane can be reached, else 0.",
     [](const MetricsData& data, Series& series) { series.Add(data.status.has_value()); }},
    {"steelyard_dataplane_generation",
     kGauge,
     {},
     "Generation of the services in force in the dataplane.",
     [](const MetricsData& data, Series& series) {
       if (data.status) series.Add(static_cast<double>(data.status->generation()));
     }},
    {"steelyard_dataplane_start_time_seconds",
     kGauge,
     {},
     "Start of the dataplane, in seconds since the epoch.",
     [](const MetricsData& data, Series& series) {
       if (data.status) series.Add(static_cast<double>(data.status->started_unix_ns()) / 1e9);
     }},
    {"steelyard_dataplane_adopted_sessions",
     kGauge,
     {},
     "Sessions that the dataplane took over from an earlier one when it started.",
     [](const MetricsData& data, Series& series) {
       if (data.status) series.Add(static_cast<double>(data.status->adopted_sessions()));
     }},
    {"steelyard_dataplane_dropped_sessions",
     kGauge,
     {},
     "Sessions of an earlier dataplane that it found when it started, and did not take over.",
     [](const MetricsData& data, Series& series) {
       if (data.status) series.Add(static_cast<double>(data.status->dropped_sessions()));
     }},
    {"steelyard_dataplane_restart_gap_seconds",
     kGauge,
     {},
     "How long nobody looked for packets before the dataplane started; 0 where that is not known.",
     [](const MetricsData& data, Series& series) {
       if (data.status) series.Add(static_cast<double>(data.status->restart_gap_ns()) / 1e9);
     }},

    {"steelyard_service_sessions_active",
     kGauge,
     {"service"},
     "Sessions that live now.",
     PerServiceSum<&v1::BackendCounters::sessions_active>},
    {"steelyard_service_sessions_created_total",
     kCounter,
     {"service"},
     "Sessions opened.",
     PerServiceSum<&v1::BackendCounters::sessions_created>},
    {"steelyard_service_backends_available",
     kGauge,
     {"service"},
     "Backends that take new sessions.",
     PerServiceSum<&v1::BackendCounters::available>},

    {"steelyard_service_session_limit_packets_total",
     kCounter,
     {"service"},
     "Packets of new flows dropped because the service or all its backends were at max_sessions.",
     PerService<&v1::ServiceCounters::session_limit_packets>},
    {"steelyard_service_sessions_not_remembered_total",
     kCounter,
     {"service"},
     "Sessions whose client persistence could not remember because the session table was full.",
     PerService<&v1::ServiceCounters::sessions_not_remembered>},

    {"steelyard_service_local_port_searches_total",
     kCounter,
     {"service"},
     "Searches for a local port that a new session could borrow.",
     PerService<OfLocalPorts<&v1::LocalPortCounters::searches, v1::ServiceCounters>>},
    {"steelyard_service_local_port_probes_total",
     kCounter,
     {"service"},
     "Local ports tried in those searches; per search, 1 / (1 - share of ports in use).",
     PerService<OfLocalPorts<&v1::LocalPortCounters::probes, v1::ServiceCounters>>},
    {"steelyard_service_local_port_long_searches_total",
     kCounter,
     {"service"},
     "Searches that tried more than 16 local ports: about nine tenths are in use towards some "
     "destination. Rises before ports run out: add addresses while it does.",
     PerService<OfLocalPorts<&v1::LocalPortCounters::long_searches, v1::ServiceCounters>>},
    {"steelyard_service_local_port_exhausted_packets_total",
     kCounter,
     {"service"},
     "Packets of new flows dropped because no local port was found.",
     PerService<OfLocalPorts<&v1::LocalPortCounters::exhausted_packets, v1::ServiceCounters>>},

    {"steelyard_outbound_gateway_packets_total",
     kCounter,
     {"outbound_gateway", "direction"},
     "Packets forwarded.",
     PerGatewayAndDirection<&v1::TrafficCounters::packets>},
    {"steelyard_outbound_gateway_bytes_total",
     kCounter,
     {"outbound_gateway", "direction"},
     "Bytes forwarded.",
     PerGatewayAndDirection<&v1::TrafficCounters::bytes>},
    {"steelyard_outbound_gateway_sessions_active",
     kGauge,
     {"outbound_gateway"},
     "Sessions that live now.",
     PerGateway<&v1::OutboundGatewayCounters::sessions_active>},
    {"steelyard_outbound_gateway_sessions_created_total",
     kCounter,
     {"outbound_gateway"},
     "Sessions opened.",
     PerGateway<&v1::OutboundGatewayCounters::sessions_created>},
    {"steelyard_outbound_gateway_session_limit_packets_total",
     kCounter,
     {"outbound_gateway"},
     "Packets of new flows dropped because the gateway was at max_sessions.",
     PerGateway<&v1::OutboundGatewayCounters::session_limit_packets>},
    {"steelyard_outbound_gateway_local_port_searches_total",
     kCounter,
     {"outbound_gateway"},
     "Searches for a local port that a new session could borrow.",
     PerGateway<OfLocalPorts<&v1::LocalPortCounters::searches, v1::OutboundGatewayCounters>>},
    {"steelyard_outbound_gateway_local_port_probes_total",
     kCounter,
     {"outbound_gateway"},
     "Local ports tried in those searches; per search, 1 / (1 - share of ports in use).",
     PerGateway<OfLocalPorts<&v1::LocalPortCounters::probes, v1::OutboundGatewayCounters>>},
    {"steelyard_outbound_gateway_local_port_long_searches_total",
     kCounter,
     {"outbound_gateway"},
     "Searches that tried more than 16 local ports: about nine tenths are in use towards some "
     "destination. Rises before ports run out: add addresses while it does.",
     PerGateway<OfLocalPorts<&v1::LocalPortCounters::long_searches, v1::OutboundGatewayCounters>>},
    {"steelyard_outbound_gateway_local_port_exhausted_packets_total",
     kCounter,
     {"outbound_gateway"},
     "Packets of new flows dropped because no local port was found.",
     PerGateway<
         OfLocalPorts<&v1::LocalPortCounters::exhausted_packets, v1::OutboundGatewayCounters>>},

    {"steelyard_backend_up",
     kGauge,
     {"service", "backend"},
     "1 when the backend is healthy or its service has no health check, else 0.",
     PerHealth<IsUp>},
    {"steelyard_backend_health_changed_timestamp_seconds",
     kGauge,
     {"service", "backend"},
     "Last change of the backend's health, in seconds since the epoch.",
     PerHealth<HealthChangedSeconds>},
    {"steelyard_backend_health_checks_total",
     kCounter,
     {"service", "backend"},
     "Health checks that had a result.",
     PerHealth<Checks>},
    {"steelyard_backend_health_check_failures_total",
     kCounter,
     {"service", "backend"},
     "Health checks that failed.",
     PerHealth<CheckFailures>},
    {"steelyard_backend_available",
     kGauge,
     {"service", "backend"},
     "1 when the backend takes new sessions: enabled, healthy, with a weight, of the first "
     "priority that has such a backend; else 0.",
     PerBackend<&v1::BackendCounters::available>},
    {"steelyard_backend_sessions_active",
     kGauge,
     {"service", "backend"},
     "Sessions that live now.",
     PerBackend<&v1::BackendCounters::sessions_active>},
    {"steelyard_backend_sessions_created_total",
     kCounter,
     {"service", "backend"},
     "Sessions opened.",
     PerBackend<&v1::BackendCounters::sessions_created>},
    {"steelyard_backend_packets_total",
     kCounter,
     {"service", "backend", "direction"},
     "Packets forwarded.",
     PerBackendAndDirection<&v1::TrafficCounters::packets>},
    {"steelyard_backend_bytes_total",
     kCounter,
     {"service", "backend", "direction"},
     "Bytes forwarded.",
     PerBackendAndDirection<&v1::TrafficCounters::bytes>},

    {"steelyard_worker_received_packets_total",
     kCounter,
     {"worker"},
     "Packets received from ports. With those reassembled, those received by handoff and handoff "
     "fragments: the sum of all verdicts and of those sent by handoff.",
     PerWorker<&v1::WorkerCounters::received_packets>},
    {"steelyard_worker_reassembled_packets_total",
     kCounter,
     {"worker"},
     "Packets put together from fragments.",
     PerWorker<&v1::WorkerCounters::reassembled_packets>},
    {"steelyard_worker_reassembly_timeouts_total",
     kCounter,
     {"worker"},
     "Datagrams that were given up because a fragment did not arrive in time.",
     PerWorker<&v1::WorkerCounters::reassembly_timeouts>},
    {"steelyard_worker_fragments_sent_total",
     kCounter,
     {"worker"},
     "Fragments sent out of ports and given to the kernel, of packets too big to leave whole.",
     PerWorker<&v1::WorkerCounters::fragments_sent>},
    {"steelyard_worker_packets_total",
     kCounter,
     {"worker", "verdict"},
     "Packets by what became of them: forwarded, punted, consumed, or the reason of a drop.",
     Verdicts},
    {"steelyard_worker_kernel_received_packets_total",
     kCounter,
     {"worker"},
     "Packets received from the kernel, to be sent out of a port.",
     PerWorker<&v1::WorkerCounters::kernel_received_packets>},
    {"steelyard_worker_kernel_dropped_packets_total",
     kCounter,
     {"worker"},
     "Packets received from the kernel that could not be sent.",
     PerWorker<&v1::WorkerCounters::kernel_dropped_packets>},
    {"steelyard_worker_handoff_sent_packets_total",
     kCounter,
     {"worker"},
     "Packets passed on to the worker of their session.",
     PerWorker<&v1::WorkerCounters::handoff_sent_packets>},
    {"steelyard_worker_handoff_received_packets_total",
     kCounter,
     {"worker"},
     "Packets taken over from the worker that they had arrived at.",
     PerWorker<&v1::WorkerCounters::handoff_received_packets>},
    {"steelyard_worker_handoff_fragments_total",
     kCounter,
     {"worker"},
     "Fragments made of reassembled packets to pass them on.",
     PerWorker<&v1::WorkerCounters::handoff_fragments>},
    {"steelyard_worker_foreign_packets_total",
     kCounter,
     {"worker"},
     "Packets forwarded by another worker than their session's, which must not be. Looked for only "
     "with --check-ownership.",
     PerWorker<&v1::WorkerCounters::foreign_packets>},
    {"steelyard_worker_stateless_packets_total",
     kCounter,
     {"worker"},
     "Packets forwarded without a session, by a mode that can.",
     PerWorker<&v1::WorkerCounters::stateless_packets>},
    {"steelyard_worker_icmp_errors_sent_total",
     kCounter,
     {"worker"},
     "ICMP errors that the box itself sent about packets that it dropped.",
     PerWorker<&v1::WorkerCounters::icmp_errors_sent>},
    {"steelyard_worker_icmp_errors_suppressed_total",
     kCounter,
     {"worker"},
     "ICMP errors of the box itself that were not sent because there had been too many.",
     PerWorker<&v1::WorkerCounters::icmp_errors_suppressed>},
    {"steelyard_worker_sessions_active",
     kGauge,
     {"worker"},
     "Sessions that live now.",
     PerWorker<&v1::WorkerCounters::sessions_active>},
    {"steelyard_worker_templates_active",
     kGauge,
     {"worker"},
     "Choices of backends that are remembered now: the clients that persistence keeps.",
     PerWorker<&v1::WorkerCounters::templates_active>},
    {"steelyard_worker_session_capacity",
     kGauge,
     {"worker"},
     "Sessions that the worker has room for.",
     PerWorker<&v1::WorkerCounters::session_capacity>},
    {"steelyard_worker_sessions_created_total",
     kCounter,
     {"worker"},
     "Sessions opened.",
     PerWorker<&v1::WorkerCounters::sessions_created>},
    {"steelyard_worker_sessions_expired_total",
     kCounter,
     {"worker"},
     "Sessions ended.",
     PerWorker<&v1::WorkerCounters::sessions_expired>},
    {"steelyard_worker_polls_total",
     kCounter,
     {"worker"},
     "Rounds of the poll loop.",
     PerWorker<&v1::WorkerCounters::polls>},
    {"steelyard_worker_busy_polls_total",
     kCounter,
     {"worker"},
     "Rounds of the poll loop that found a packet.",
     PerWorker<&v1::WorkerCounters::busy_polls>},
    {"steelyard_worker_snapshot_generation",
     kGauge,
     {"worker"},
     "Generation of the services that the worker uses.",
     PerWorker<&v1::WorkerCounters::snapshot_generation>},

    {"steelyard_port_received_packets_total",
     kCounter,
     {"port"},
     "Packets received.",
     PerPort<&v1::PortCounters::received_packets>},
    {"steelyard_port_received_bytes_total",
     kCounter,
     {"port"},
     "Bytes received.",
     PerPort<&v1::PortCounters::received_bytes>},
    {"steelyard_port_sent_packets_total",
     kCounter,
     {"port"},
     "Packets sent.",
     PerPort<&v1::PortCounters::sent_packets>},
    {"steelyard_port_sent_bytes_total",
     kCounter,
     {"port"},
     "Bytes sent.",
     PerPort<&v1::PortCounters::sent_bytes>},
    {"steelyard_port_receive_missed_packets_total",
     kCounter,
     {"port"},
     "Packets that the port dropped because no worker took them in time.",
     PerPort<&v1::PortCounters::receive_missed_packets>},
    {"steelyard_port_receive_errors_total",
     kCounter,
     {"port"},
     "Packets received in error.",
     PerPort<&v1::PortCounters::receive_errors>},
    {"steelyard_port_send_errors_total",
     kCounter,
     {"port"},
     "Packets that failed to be sent.",
     PerPort<&v1::PortCounters::send_errors>},
    {"steelyard_port_kernel_refused_packets_total",
     kCounter,
     {"port"},
     "Punted packets that the kernel's twin did not take.",
     PerPort<&v1::PortCounters::kernel_refused_packets>},
    {"steelyard_port_link_up",
     kGauge,
     {"port"},
     "1 while the port's link is up, else 0.",
     PerPortStatus<&v1::Port::link_up>},
    {"steelyard_port_mtu_bytes",
     kGauge,
     {"port"},
     "The port's MTU.",
     PerPortStatus<&v1::Port::mtu>},
};
// clang-format on

}  // namespace

std::vector<prometheus::MetricFamily> CollectMetrics(const MetricsData& data) {
  std::vector<prometheus::MetricFamily> families;
  for (const Metric& metric : kMetrics) {
    Series series(metric.labels);
    metric.collect(data, series);
    std::vector<prometheus::ClientMetric> values = series.Take();
    if (values.empty()) continue;
    families.push_back(
        {std::string(metric.name), std::string(metric.help), metric.type, std::move(values)});
  }
  return families;
}

}  // namespace steelyard::controlplane
