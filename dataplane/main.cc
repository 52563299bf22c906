// SPDX-License-Identifier: Apache-2.0
//
// steelyard-dataplane. Everything is made here, in the order in which it depends on each other, and
// goes away in the reverse order: options, DPDK's environment, lock, sessions, ports, twins,
// workers, control.
#include <sched.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "control/handlers.h"
#include "control/server.h"
#include "core/snapshot.h"
#include "dpdk/eal.h"
#include "dpdk/port_set.h"
#include "handover.h"
#include "instance_lock.h"
#include "numa_node.h"
#include "options.h"
#include "session_store.h"
#include "supervision.h"
#include "worker/dataplane.h"
#include "worker_unit.h"

namespace steelyard {
namespace {

using net::Ok;
using net::Result;
using net::Status;

std::vector<uint32_t> UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<uint32_t> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

// Blocked in every thread; the main one lets them in when it is ready for them.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

uint64_t NanosecondsOf(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

std::unique_ptr<core::Snapshot> FirstSnapshot(const DataplaneOptions& options,
                                              const dpdk::PortSet& ports) {
  std::vector<core::PortInfo> infos;
  for (const auto& port : ports.ports())
    infos.push_back({.mac = port->info().mac, .mtu = static_cast<uint16_t>(port->info().mtu)});
  const auto worker_count = static_cast<uint32_t>(options.worker_cores.size());
  auto snapshot = std::make_unique<core::Snapshot>(core::EmptySnapshot(
      std::move(infos),
      std::make_shared<const core::Steering>(worker_count, ports.steering_buckets()),
      NanosecondsOf(CLOCK_REALTIME) - NanosecondsOf(CLOCK_BOOTTIME)));
  snapshot->checks_ownership = options.check_ownership;
  return snapshot;
}

Result<std::unique_ptr<dpdk::Eal>> StartEal(const DataplaneOptions& options) {
  dpdk::EalOptions eal_options{.main_core = options.main_core,
                               .worker_cores = options.worker_cores,
                               .use_huge_pages = options.use_huge_pages,
                               .memory_mib = options.memory_mib,
                               .plugins = options.dpdk_plugins};
  for (const dpdk::PortSpec& spec : options.ports)
    if (spec.is_pci) eal_options.pci_addresses.push_back(spec.device);
  return dpdk::Eal::Start(eal_options);
}

using Workers = std::vector<std::unique_ptr<WorkerUnit>>;

Result<Workers> CreateWorkers(const DataplaneOptions& options, const SessionStore& sessions) {
  Workers workers;
  for (const uint32_t core : options.worker_cores) {
    const PreferNumaNode near_its_core(NumaNodeOf(core));
    Result<std::unique_ptr<WorkerUnit>> worker =
        WorkerUnit::Create({.index = static_cast<uint32_t>(workers.size()),
                            .core = core,
                            .shares_core = std::count(options.worker_cores.begin(),
                                                      options.worker_cores.end(), core) > 1,
                            .reassembly_datagrams = options.reassembly_datagrams},
                           sessions.segment(static_cast<uint32_t>(workers.size())));
    if (!worker) return worker.error();
    workers.push_back(std::move(*worker));
  }
  return workers;
}

Result<SessionStore> OpenSessions(const DataplaneOptions& options) {
  const bool is_named = !options.session_directory.empty();
  std::vector<std::optional<uint32_t>> numa_nodes;
  for (const uint32_t core : options.worker_cores) numa_nodes.push_back(NumaNodeOf(core));
  return SessionStore::Open(
      {.directory = is_named
                        ? options.session_directory
                        : DefaultSessionDirectory(options.control_socket, options.use_huge_pages),
       .capacity = {.narrow = options.session_capacity, .wide = options.session_capacity_ipv6},
       .worker_count = static_cast<uint32_t>(options.worker_cores.size()),
       .discard = options.discard_sessions,
       .numa_nodes = std::move(numa_nodes)});
}

SessionStore::Report Adopt(SessionStore& sessions, const Workers& workers,
                           const core::Steering& steering) {
  std::vector<core::SessionTable*> tables;
  std::vector<core::WorkerState*> states;
  for (const auto& worker : workers) {
    tables.push_back(&worker->sessions());
    states.push_back(&worker->state());
  }
  return sessions.Adopt(tables, states, steering, NanosecondsOf(CLOCK_BOOTTIME));
}

control::Inheritance InheritanceOf(SessionStore& sessions, const SessionStore::Report& report) {
  using Kind = SlotJournal::Kind;
  SlotJournal& journal = sessions.journal();
  control::Inheritance inheritance{.adopted_sessions = report.sessions.sessions,
                                   .dropped_sessions = report.sessions.dropped(),
                                   .services = journal.assignments(Kind::kService),
                                   .backends = journal.assignments(Kind::kBackend),
                                   .record_service =
                                       [&journal](uint32_t slot, const std::string& name) {
                                         return journal.Record(Kind::kService, slot, name);
                                       },
                                   .record_backend =
                                       [&journal](uint32_t slot, const std::string& name) {
                                         return journal.Record(Kind::kBackend, slot, name);
                                       }};
  if (report.last_poll_ns != 0)
    inheritance.unpolled_ns = NanosecondsOf(CLOCK_BOOTTIME) - report.last_poll_ns;
  return inheritance;
}

void ReportAdoption(const SessionStore::Report& report, const control::Inheritance& inheritance) {
  if (report.workers == 0) return;
  std::printf(
      "adopted %llu sessions of %u workers in %.1f ms; %llu dropped as incomplete, %llu as "
      "impossible, %llu as there twice or without room; packets were not polled for %.1f ms\n",
      static_cast<unsigned long long>(report.sessions.sessions), report.workers,
      static_cast<double>(report.adoption_ns) / 1e6,
      static_cast<unsigned long long>(report.sessions.incomplete),
      static_cast<unsigned long long>(report.sessions.refused),
      static_cast<unsigned long long>(report.sessions.unplaced),
      static_cast<double>(inheritance.unpolled_ns) / 1e6);
}

// A process that is asked to end closes its ports first, and some NICs take their time.
constexpr std::chrono::seconds kLongestHandover{10};

Result<InstanceLock> TakeLock(const DataplaneOptions& options, const Supervision& supervision) {
  if (!options.take_over) return InstanceLock::Take(options.control_socket);
  supervision.AnnounceMainProcess();
  return TakeOver(options.control_socket, kLongestHandover);
}

// Adopted sessions wait so long for their services.
constexpr std::chrono::seconds kLongestWaitForServices{10};

void KeepDealingOutSessions(boost::asio::steady_timer& timer, control::Handlers& handlers) {
  timer.expires_after(control::SessionSharing::kInterval);
  timer.async_wait([&](const boost::system::error_code& error) {
    if (error) return;
    handlers.DealOutSessions();
    KeepDealingOutSessions(timer, handlers);
  });
}

// Returns when a stop signal has come, or with the error that kept it from serving.
Status Serve(const DataplaneOptions& options, worker::Dataplane& dataplane,
             const control::Inheritance& inheritance, Supervision& supervision,
             const sigset_t& stop_signals) {
  try {
    boost::asio::io_context io;
    boost::asio::signal_set stop(io, SIGINT, SIGTERM);
    stop.async_wait([&](const boost::system::error_code&, int) { io.stop(); });
    pthread_sigmask(SIG_UNBLOCK, &stop_signals, nullptr);
    control::Handlers handlers(dataplane, inheritance);
    const control::Server server(io, options.control_socket, handlers);
    boost::asio::steady_timer sharing(io);
    if (dataplane.workers.size() > 1) KeepDealingOutSessions(sharing, handlers);
    std::printf("steelyard-dataplane is ready: %zu ports, %zu workers, %s\n",
                dataplane.ports.size(), dataplane.workers.size(), options.control_socket.c_str());
    std::fflush(stdout);
    supervision.AnnounceReady();
    boost::asio::steady_timer wait(io, kLongestWaitForServices);
    wait.async_wait([&](const boost::system::error_code& error) {
      if (!error && handlers.StopAwaitingServices())
        std::fprintf(stderr,
                     "steelyard-dataplane: no services were pushed for the adopted sessions\n");
    });
    io.run();
    return Ok{};
  } catch (const std::exception& error) {
    return net::Error{error.what()};
  }
}

Status LaunchAndServe(const DataplaneOptions& options, dpdk::Eal& eal, dpdk::PortSet& ports,
                      const Workers& workers, SessionStore& sessions, Supervision& supervision,
                      const sigset_t& stop_signals) {
  const auto worker_count = static_cast<uint32_t>(workers.size());
  auto first_snapshot = FirstSnapshot(options, ports);
  const SessionStore::Report report = Adopt(sessions, workers, *first_snapshot->steering);
  first_snapshot->awaits_configuration = report.sessions.sessions != 0;
  worker::SnapshotPublisher snapshots(std::move(first_snapshot), worker_count);
  worker::HandoffRings handoff_rings(worker_count);
  worker::Dataplane dataplane{.snapshots = &snapshots};
  for (const auto& port : ports.ports()) dataplane.ports.push_back(port.get());
  for (const auto& worker : workers) dataplane.workers.push_back(worker->Describe());

  std::atomic<bool> stop{false};
  ports.StartKernelPath();
  Status status = Ok{};
  for (const auto& worker : workers)
    if (status) status = worker->Launch(eal, ports, handoff_rings, snapshots, stop);
  const control::Inheritance inheritance = InheritanceOf(sessions, report);
  ReportAdoption(report, inheritance);
  if (status) status = Serve(options, dataplane, inheritance, supervision, stop_signals);
  stop.store(true);
  for (uint32_t i = 0; i < worker_count; ++i) eal.Join(i);
  ports.StopKernelPath();
  return status;
}

void ReportSteering(const dpdk::PortSet& ports, uint16_t worker_count) {
  if (worker_count == 1) return;
  for (const auto& port : ports.ports()) {
    const worker::PortInfo& info = port->info();
    if (info.steers_in_hardware) {
      std::printf("port %s steers in hardware: %u buckets to %u workers\n", info.name.c_str(),
                  ports.steering_buckets(), worker_count);
    } else {
      std::printf("port %s steers in software: %s\n", info.name.c_str(),
                  info.steering_reason.c_str());
    }
  }
}

void WarnOfDistance(const dpdk::PortSet& ports, uint16_t worker_count) {
  for (const std::string& sentence : ports.Distances(worker_count))
    std::fprintf(stderr, "steelyard-dataplane: warning: %s\n", sentence.c_str());
}

Status RunDataplane(const DataplaneOptions& options, const sigset_t& stop_signals) {
  Result<Supervision> supervision = Supervision::Start(options.in_background);
  if (!supervision) return supervision.error();
  const Result<std::unique_ptr<dpdk::Eal>> eal = StartEal(options);
  if (!eal) return eal.error();
  const Result<InstanceLock> lock = TakeLock(options, *supervision);
  if (!lock) return lock.error();
  Result<SessionStore> sessions = OpenSessions(options);
  if (!sessions) return sessions.error();
  const auto worker_count = static_cast<uint16_t>(options.worker_cores.size());
  const Result<std::unique_ptr<dpdk::PortSet>> ports =
      dpdk::PortSet::Open(options.ports, options.kernel_interface_prefix, worker_count);
  if (!ports) return ports.error();
  ReportSteering(**ports, worker_count);
  WarnOfDistance(**ports, worker_count);
  const Result<Workers> workers = CreateWorkers(options, *sessions);
  if (!workers) return workers.error();
  return LaunchAndServe(options, **eal, **ports, *workers, *sessions, *supervision, stop_signals);
}

int Main(int argc, char** argv) {
  const Result<ParsedOptions> parsed = ParseOptions(argc, argv, UsableCpus());
  if (parsed) {
    if (const auto* text = std::get_if<OptionsText>(&*parsed)) {
      std::fputs(text->text.c_str(), stdout);
      return 0;
    }
  }
  const sigset_t stop_signals = BlockStopSignals();
  const Status status =
      parsed ? RunDataplane(std::get<DataplaneOptions>(*parsed), stop_signals) : parsed.error();
  if (status) return 0;
  std::fprintf(stderr, "steelyard-dataplane: %s\n", status.error().message.c_str());
  return parsed ? 1 : 2;
}

}  // namespace
}  // namespace steelyard

int main(int argc, char** argv) {
  return steelyard::Main(argc, argv);
}
