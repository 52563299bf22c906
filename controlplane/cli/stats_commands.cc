// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "controlplane/cli/commands.h"
#include "controlplane/cli/format.h"
#include "controlplane/cli/json.h"
#include "controlplane/cli/table.h"

namespace steelyard::controlplane::cli {
namespace {

std::string Text(uint64_t number) {
  return std::to_string(number);
}

std::string YesNo(bool value) {
  return value ? "yes" : "no";
}

void PrintDataplane(const v1::GetStatusResponse& status, std::ostream& out) {
  out << "dataplane " << status.version() << ", up "
      << FormatAge(status.started_unix_ns() / 1'000'000) << ", generation " << status.generation()
      << ", " << status.workers() << (status.workers() == 1 ? " worker" : " workers")
      << ", room for " << status.session_capacity() << " sessions\n";
  if (status.adopted_sessions() + status.dropped_sessions() != 0) {
    out << "adopted " << status.adopted_sessions() << " sessions at its start ("
        << status.dropped_sessions() << " dropped), after " << status.restart_gap_ns() / 1'000'000
        << " ms without polling\n";
  }
  out << '\n';
}

std::string Steering(const v1::Port& port) {
  return port.steers_in_hardware() ? "hardware" : "software (" + port.steering_reason() + ")";
}

void PrintPorts(const v1::GetStatsResponse& stats, std::ostream& out) {
  Table table(out,
              {{"PORT"}, {"KERNEL"}, {"DRIVER"}, {"MAC"}, {"MTU", kRight}, {"LINK"}, {"STEERING"}});
  for (const v1::Port& port : stats.dataplane().ports()) {
    table.Add({port.name(), port.kernel_interface(), port.driver(), port.mac(), Text(port.mtu()),
               port.link_up() ? "up" : "down", Steering(port)});
  }
  table.Flush();
  out << '\n';
}

void PrintPortCounters(const v1::GetStatsResponse& stats, std::ostream& out) {
  Table table(out, {{"PORT"},
                    {"RECEIVED PACKETS", kRight},
                    {"BYTES", kRight},
                    {"MISSED", kRight},
                    {"ERRORS", kRight},
                    {"SENT PACKETS", kRight},
                    {"BYTES", kRight},
                    {"ERRORS", kRight}});
  for (const v1::PortCounters& port : stats.counters().ports()) {
    table.Add({port.name(), Text(port.received_packets()), FormatBytes(port.received_bytes()),
               Text(port.receive_missed_packets()), Text(port.receive_errors()),
               Text(port.sent_packets()), FormatBytes(port.sent_bytes()),
               Text(port.send_errors())});
  }
  table.Flush();
  out << '\n';
}

std::string BusyPercent(const v1::WorkerCounters& worker) {
  if (worker.polls() == 0) return "-";
  return Text(worker.busy_polls() * 100 / worker.polls()) + "%";
}

std::string IcmpErrors(const v1::WorkerCounters& worker) {
  const std::string sent = Text(worker.icmp_errors_sent());
  if (worker.icmp_errors_suppressed() == 0) return sent;
  return sent + " (" + Text(worker.icmp_errors_suppressed()) + " suppressed)";
}

void PrintWorkers(const v1::GetStatsResponse& stats, std::ostream& out) {
  Table table(out, {{"WORKER"},
                    {"CORE", kRight},
                    {"RECEIVED", kRight},
                    {"FROM KERNEL", kRight},
                    {"ICMP ERRORS SENT", kRight},
                    {"SESSIONS", kRight},
                    {"CREATED", kRight},
                    {"EXPIRED", kRight},
                    {"BUSY POLLS", kRight},
                    {"GENERATION", kRight}});
  for (const v1::WorkerCounters& worker : stats.counters().workers()) {
    table.Add({Text(worker.worker()), Text(worker.core()), Text(worker.received_packets()),
               Text(worker.kernel_received_packets()), IcmpErrors(worker),
               Text(worker.sessions_active()), Text(worker.sessions_created()),
               Text(worker.sessions_expired()), BusyPercent(worker),
               Text(worker.snapshot_generation())});
  }
  table.Flush();
  out << '\n';
}

// Where there are several workers.
void PrintHandoff(const v1::GetStatsResponse& stats, std::ostream& out) {
  if (stats.counters().workers_size() < 2) return;
  Table table(out, {{"WORKER"},
                    {"HANDED OFF", kRight},
                    {"SHARE", kRight},
                    {"TAKEN OVER", kRight},
                    {"FOREIGN", kRight}});
  for (const v1::WorkerCounters& worker : stats.counters().workers()) {
    const uint64_t received = worker.received_packets();
    const std::string share =
        received == 0 ? "-" : Text(worker.handoff_sent_packets() * 100 / received) + "%";
    table.Add({Text(worker.worker()), Text(worker.handoff_sent_packets()), share,
               Text(worker.handoff_received_packets()), Text(worker.foreign_packets())});
  }
  table.Flush();
  out << '\n';
}

// Of the workers that met any.
void PrintFragments(const v1::GetStatsResponse& stats, std::ostream& out) {
  Table table(out, {{"WORKER"},
                    {"REASSEMBLED", kRight},
                    {"REASSEMBLY TIMEOUTS", kRight},
                    {"FRAGMENTS SENT", kRight}});
  bool any = false;
  for (const v1::WorkerCounters& worker : stats.counters().workers()) {
    if (worker.reassembled_packets() + worker.reassembly_timeouts() + worker.fragments_sent() == 0)
      continue;
    any = true;
    table.Add({Text(worker.worker()), Text(worker.reassembled_packets()),
               Text(worker.reassembly_timeouts()), Text(worker.fragments_sent())});
  }
  if (!any) return;
  table.Flush();
  out << '\n';
}

// Verdicts that no packet met are left out.
void PrintVerdicts(const v1::GetStatsResponse& stats, std::ostream& out) {
  std::vector<v1::VerdictCount> totals;
  for (const v1::WorkerCounters& worker : stats.counters().workers()) {
    for (const v1::VerdictCount& verdict : worker.verdicts()) {
      const auto same = std::ranges::find(totals, verdict.name(), &v1::VerdictCount::name);
      if (same == totals.end())
        totals.push_back(verdict);
      else
        same->set_packets(same->packets() + verdict.packets());
    }
  }
  Table table(out, {{"VERDICT"}, {"PACKETS", kRight}, {"DROP"}, {"MEANING"}});
  for (const v1::VerdictCount& total : totals) {
    if (total.packets() != 0)
      table.Add({total.name(), Text(total.packets()), YesNo(total.drop()), total.help()});
  }
  table.Flush();
}

}  // namespace

void ListPorts(Invocation& invocation) {
  const v1::GetStatsResponse stats =
      invocation.client.Call(&Client::Stub::GetStats, v1::GetStatsRequest());
  if (invocation.format == OutputFormat::kJson)
    invocation.out << ToJson(stats.dataplane()) << '\n';
  else
    PrintPorts(stats, invocation.out);
}

void ShowStats(Invocation& invocation) {
  const v1::GetStatsResponse stats =
      invocation.client.Call(&Client::Stub::GetStats, v1::GetStatsRequest());
  if (invocation.format == OutputFormat::kJson) {
    invocation.out << ToJson(stats) << '\n';
    return;
  }
  PrintDataplane(stats.dataplane(), invocation.out);
  PrintPorts(stats, invocation.out);
  PrintPortCounters(stats, invocation.out);
  PrintWorkers(stats, invocation.out);
  PrintHandoff(stats, invocation.out);
  PrintFragments(stats, invocation.out);
  PrintVerdicts(stats, invocation.out);
}

}  // namespace steelyard::controlplane::cli
