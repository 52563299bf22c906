// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <net/if.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <sstream>

#include "numa_node.h"

namespace steelyard {
namespace {

namespace po = boost::program_options;
using net::Error;
using net::Ok;
using net::Result;
using net::Status;

constexpr char kIntroduction[] =
    "steelyard-dataplane: moves the packets of a Steelyard box.\n\n"
    "Usage: steelyard-dataplane --port SPEC [--port SPEC ...] [OPTIONS]\n\n"
    "SPEC is one of\n"
    "  0000:03:00.0      a PCI device bound to a driver that DPDK can use\n"
    "  af_xdp:IFACE      a kernel interface, through AF_XDP\n"
    "  af_packet:IFACE   a kernel interface, through a packet socket\n"
    "  memif:ARGS        shared memory with another process\n"
    "  pcap:ARGS         capture files\n"
    "  vdev:NAME,ARGS    any other virtual device of DPDK's\n"
    "All but PCI devices and vdev take queues=N too: use N of its queues, not one a worker; and\n"
    "buffers=N: have as many more for packets, as for a capture file that is repeated "
    "(infinite_rx).\n\n"
    "Options";

// What the command line says, before it is checked.
struct RawOptions {
  std::vector<std::string> ports;
  std::string kernel_interface_prefix;
  std::string main_core;
  std::string worker_cores;
  std::string memory;
  uint32_t memory_mib = 0;
  std::string control_socket;
  std::string session_directory;
  bool discard_sessions = false;
  uint32_t session_capacity = 0;
  uint32_t session_capacity_ipv6 = 0;
  uint32_t reassembly_datagrams = 0;
  bool take_over = false;
  bool in_background = false;
  bool check_ownership = false;
  std::vector<std::string> dpdk_plugins;
};

po::options_description Describe(RawOptions& raw) {
  po::options_description description(kIntroduction, 100);
  po::options_description_easy_init add = description.add_options();
  add("port", po::value(&raw.ports)->value_name("SPEC")->composing(),
      "a port; repeat for more, their order numbers them");
  add("kernel-interface-prefix",
      po::value(&raw.kernel_interface_prefix)->value_name("NAME")->default_value("steel"),
      "the kernel's side of port N is the tap NAMEN; it is made if missing, and stays");
  add("main-core", po::value(&raw.main_core)->value_name("CPU"),
      "CPU for everything but packets [the first usable one]");
  add("worker-cores", po::value(&raw.worker_cores)->value_name("LIST"),
      "CPUs that do nothing but packets, such as 2-5, a worker each; one that is named twice is "
      "shared by two workers, for trying things out [the first usable one beside the main core, on "
      "the NUMA node of the first port if that is known]");
  add("memory", po::value(&raw.memory)->value_name("KIND")->default_value("hugepages"),
      "hugepages, or none: plain memory, for trying things out");
  add("memory-mib", po::value(&raw.memory_mib)->value_name("MIB")->default_value(256),
      "memory for packets; sessions come on top");
  add("check-ownership", po::bool_switch(&raw.check_ownership),
      "count packets that another worker than their session's forwards, at the cost of some time a "
      "packet: for tests and for finding faults");
  add("control-socket",
      po::value(&raw.control_socket)
          ->value_name("PATH")
          ->default_value("/run/steelyard/dataplane.sock"),
      "where steelyard-controlplane connects to");
  add("session-capacity", po::value(&raw.session_capacity)->value_name("N")->default_value(262'144),
      "sessions a worker can hold with IPv4 on both sides");
  add("session-capacity-ipv6", po::value(&raw.session_capacity_ipv6)->value_name("N"),
      "sessions a worker can hold with IPv6 on a side [half of --session-capacity]");
  add("session-directory", po::value(&raw.session_directory)->value_name("DIR"),
      "where sessions outlive the process, in a memory file system; of this instance alone [named "
      "after the control socket, below a mounted hugetlbfs or /dev/shm]");
  add("discard-sessions", po::bool_switch(&raw.discard_sessions),
      "begin without the sessions that an earlier process left");
  add("take-over", po::bool_switch(&raw.take_over),
      "take the place of the dataplane that runs on the control socket, if one does: get ready, "
      "have it end, go on with its sessions; needs --memory-mib beside what that one has");
  add("background", po::bool_switch(&raw.in_background),
      "return once it is ready, with status 0, and go on in the background");
  add("reassembly-datagrams",
      po::value(&raw.reassembly_datagrams)->value_name("N")->default_value(512),
      "datagrams that a worker can put together from fragments at once, 66 KiB each once used "
      "(512: "
      "33 MiB), no more than an eighth of them from one source; 0: fragments to services are "
      "dropped");
  add("dpdk-plugin", po::value(&raw.dpdk_plugins)->value_name("FILE")->composing(),
      "a shared object for DPDK to load (its -d), such as a driver of another make; repeat for "
      "more");
  add("help", "print this and exit");
  add("version", "print the version and exit");
  return description;
}

Error Wrong(const std::string& option, const std::string& why) {
  return {option + ": " + why};
}

Status CheckCpuUsable(const std::string& option, uint32_t cpu,
                      const std::vector<uint32_t>& usable_cpus) {
  if (std::find(usable_cpus.begin(), usable_cpus.end(), cpu) != usable_cpus.end()) return Ok{};
  return Wrong(option,
               "CPU " + std::to_string(cpu) + " does not exist or this process may not run on it");
}

Status FillPorts(const RawOptions& raw, DataplaneOptions& options) {
  if (raw.ports.empty()) return Wrong("--port", "at least one is needed; see --help");
  for (const std::string& text : raw.ports) {
    for (const dpdk::PortSpec& earlier : options.ports)
      if (earlier.text == text) return Wrong("--port", "'" + text + "' is given twice");
    const Result<dpdk::PortSpec> spec =
        dpdk::ParsePortSpec(text, static_cast<uint32_t>(options.ports.size()));
    if (!spec) return Wrong("--port", spec.error().message);
    options.ports.push_back(*spec);
  }
  const std::string longest =
      raw.kernel_interface_prefix + std::to_string(options.ports.size() - 1);
  if (raw.kernel_interface_prefix.empty() || longest.size() >= IFNAMSIZ ||
      longest.find_first_of("/ :%\t") != std::string::npos)
    return Wrong("--kernel-interface-prefix",
                 "'" + longest + "' cannot be the name of a network interface");
  options.kernel_interface_prefix = raw.kernel_interface_prefix;
  return Ok{};
}

Status FillMainCore(const RawOptions& raw, const std::vector<uint32_t>& usable_cpus,
                    DataplaneOptions& options) {
  options.main_core = usable_cpus.front();
  if (raw.main_core.empty()) return Ok{};
  const Result<std::vector<uint32_t>> main_core = ParseCpuList(raw.main_core);
  if (!main_core || main_core->size() != 1)
    return Wrong("--main-core", "'" + raw.main_core + "' is not the number of a CPU");
  options.main_core = main_core->front();
  return CheckCpuUsable("--main-core", options.main_core, usable_cpus);
}

// Of the buckets of the smallest redirection table (core/steering.h) each has one at least.
constexpr size_t kMostWorkers = 64;

// Where the first port is, if it is anywhere: what a device writes is near there.
uint32_t DefaultWorkerCore(const DataplaneOptions& options,
                           const std::vector<uint32_t>& usable_cpus) {
  const dpdk::PortSpec& port = options.ports.front();
  constexpr uint32_t kNowhere = UINT32_MAX;
  const uint32_t node =
      port.is_pci ? NumaNodeOfPciDevice(port.device).value_or(kNowhere) : kNowhere;
  const auto is_free = [&](uint32_t cpu) { return cpu != options.main_core; };
  const auto is_near = [&](uint32_t cpu) {
    return is_free(cpu) && NumaNodeOf(cpu).value_or(kNowhere) == node;
  };
  auto chosen = std::find_if(usable_cpus.begin(), usable_cpus.end(), is_near);
  if (chosen == usable_cpus.end())
    chosen = std::find_if(usable_cpus.begin(), usable_cpus.end(), is_free);
  return chosen == usable_cpus.end() ? options.main_core : *chosen;
}

Status FillWorkerCores(const RawOptions& raw, const std::vector<uint32_t>& usable_cpus,
                       DataplaneOptions& options) {
  if (raw.worker_cores.empty()) {
    options.worker_cores = {DefaultWorkerCore(options, usable_cpus)};
    return Ok{};
  }
  const Result<std::vector<uint32_t>> cores = ParseCpuList(raw.worker_cores);
  if (!cores) return Wrong("--worker-cores", cores.error().message);
  if (cores->size() > kMostWorkers) {
    return Wrong("--worker-cores", std::to_string(cores->size()) + " workers are given and " +
                                       std::to_string(kMostWorkers) + " are possible");
  }
  for (const uint32_t cpu : *cores)
    if (const Status status = CheckCpuUsable("--worker-cores", cpu, usable_cpus); !status)
      return status;
  options.worker_cores = *cores;
  return Ok{};
}

Status FillMemory(const RawOptions& raw, const po::variables_map& given,
                  DataplaneOptions& options) {
  if (raw.memory != "hugepages" && raw.memory != "none")
    return Wrong("--memory", "'" + raw.memory + "' is neither hugepages nor none");
  options.use_huge_pages = raw.memory == "hugepages";
  constexpr uint32_t kLeastMib = 32;
  constexpr uint32_t kMostMib = 1u << 20;
  if (raw.memory_mib < kLeastMib || raw.memory_mib > kMostMib) {
    return Wrong("--memory-mib",
                 std::to_string(kLeastMib) + " to " + std::to_string(kMostMib) + " are possible");
  }
  options.memory_mib = raw.memory_mib;

  constexpr uint32_t kMostSessions = 1u << 28;
  options.session_capacity = raw.session_capacity;
  options.session_capacity_ipv6 = given.count("session-capacity-ipv6") != 0
                                      ? raw.session_capacity_ipv6
                                      : raw.session_capacity / 2;
  if (raw.session_capacity < 1 || raw.session_capacity > kMostSessions)
    return Wrong("--session-capacity", "1 to " + std::to_string(kMostSessions) + " are possible");
  if (options.session_capacity_ipv6 > kMostSessions)
    return Wrong("--session-capacity-ipv6", "at most " + std::to_string(kMostSessions));

  constexpr uint32_t kMostDatagrams = 65'536;
  if (raw.reassembly_datagrams > kMostDatagrams)
    return Wrong("--reassembly-datagrams", "at most " + std::to_string(kMostDatagrams));
  options.reassembly_datagrams = raw.reassembly_datagrams;
  return Ok{};
}

// DPDK would look for a name without a slash among the system's libraries.
Status FillPlugins(const RawOptions& raw, DataplaneOptions& options) {
  for (const std::string& file : raw.dpdk_plugins) {
    if (!file.starts_with('/'))
      return Wrong("--dpdk-plugin", "'" + file + "' is not the absolute path of a file");
  }
  options.dpdk_plugins = raw.dpdk_plugins;
  return Ok{};
}

Result<DataplaneOptions> Check(const RawOptions& raw, const po::variables_map& given,
                               const std::vector<uint32_t>& usable_cpus) {
  DataplaneOptions options;
  if (const Status status = FillPorts(raw, options); !status) return status.error();
  if (const Status status = FillMainCore(raw, usable_cpus, options); !status) return status.error();
  if (const Status status = FillWorkerCores(raw, usable_cpus, options); !status)
    return status.error();
  if (const Status status = FillMemory(raw, given, options); !status) return status.error();
  if (raw.control_socket.empty()) return Wrong("--control-socket", "a path is needed");
  options.control_socket = raw.control_socket;
  options.session_directory = raw.session_directory;
  options.discard_sessions = raw.discard_sessions;
  options.check_ownership = raw.check_ownership;
  options.take_over = raw.take_over;
  options.in_background = raw.in_background;
  if (const Status status = FillPlugins(raw, options); !status) return status.error();
  return options;
}

}  // namespace

Result<ParsedOptions> ParseOptions(int argc, const char* const* argv,
                                   const std::vector<uint32_t>& usable_cpus) {
  RawOptions raw;
  const po::options_description description = Describe(raw);
  po::variables_map given;
  try {
    po::store(po::command_line_parser(argc, argv)
                  .options(description)
                  .positional(po::positional_options_description())
                  .run(),
              given);
    if (given.count("help") != 0) {
      std::ostringstream text;
      text << description;
      return ParsedOptions(OptionsText{text.str()});
    }
    if (given.count("version") != 0)
      return ParsedOptions(OptionsText{"steelyard-dataplane " STEELYARD_VERSION "\n"});
    po::notify(given);
  } catch (const po::error& error) {
    return Error{error.what()};
  }
  Result<DataplaneOptions> options = Check(raw, given, usable_cpus);
  if (!options) return options.error();
  return ParsedOptions(std::move(*options));
}

Result<std::vector<uint32_t>> ParseCpuList(const std::string& text) {
  const Error invalid{"'" + text + "' is not a list of CPUs such as 1,3 or 2-4"};
  constexpr uint32_t kMostCpus = 4096;
  std::vector<uint32_t> cpus;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    uint32_t first;
    auto [stop, error] = std::from_chars(at, end, first);
    if (error != std::errc{} || first >= kMostCpus) return invalid;
    uint32_t last = first;
    if (stop != end && *stop == '-') {
      const auto range = std::from_chars(stop + 1, end, last);
      if (range.ec != std::errc{} || last < first || last >= kMostCpus) return invalid;
      stop = range.ptr;
    }
    for (uint32_t cpu = first; cpu <= last; ++cpu) {
      cpus.push_back(cpu);
    }
    if (stop == end) return cpus;
    if (*stop != ',') return invalid;
    at = stop + 1;
  }
}

}  // namespace steelyard
