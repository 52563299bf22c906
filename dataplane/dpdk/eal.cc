// SPDX-License-Identifier: Apache-2.0
#include "dpdk/eal.h"

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_memory.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace steelyard::dpdk {
namespace {

using net::Error;
using net::Ok;
using net::Result;
using net::Status;

// Whoever allows one device allows no other. This is none on any machine.
constexpr char kNoDevice[] = "ffff:ff:1f.7";

constexpr unsigned LcoreOf(uint32_t worker_index) {
  return 1 + worker_index;
}

// Of every size together.
uint64_t FreeHugePagesMib() {
  uint64_t kib = 0;
  std::error_code ignored;
  for (const auto& size :
       std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
    static constexpr std::string_view kPrefix = "hugepages-";
    const std::string name = size.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    uint64_t free_pages = 0;
    std::ifstream(size.path() / "free_hugepages") >> free_pages;
    kib += free_pages * std::strtoull(name.c_str() + kPrefix.size(), nullptr, 10);
  }
  return kib / 1024;
}

Status CheckHugePages(const EalOptions& options) {
  if (!options.use_huge_pages) return Ok{};
  const uint64_t free_mib = FreeHugePagesMib();
  if (free_mib >= options.memory_mib) return Ok{};
  return Error{"--memory hugepages needs " + std::to_string(options.memory_mib) +
               " MiB (--memory-mib) and " + std::to_string(free_mib) +
               " MiB are free: reserve some (sysctl vm.nr_hugepages=N), or use --memory none"};
}

Status CheckPciDevices(const EalOptions& options) {
  for (const std::string& address : options.pci_addresses) {
    if (!std::filesystem::exists("/sys/bus/pci/devices/" + address))
      return Error{"port '" + address + "': this machine has no such PCI device"};
  }
  return Ok{};
}

// Without shared configuration and telemetry nothing lives there; a killed process must not leave
// it.
void RemoveRuntimeDirectory() {
  std::error_code ignored;
  std::filesystem::remove(rte_eal_get_runtime_dir(), ignored);
}

}  // namespace

std::vector<std::string> EalArguments(const EalOptions& options, int process_id) {
  std::string lcores = "0@" + std::to_string(options.main_core);
  for (uint32_t i = 0; i < options.worker_cores.size(); ++i) {
    lcores += "," + std::to_string(LcoreOf(i)) + "@" + std::to_string(options.worker_cores[i]);
  }
  std::vector<std::string> arguments = {"steelyard-dataplane",
                                        "--lcores",
                                        lcores,
                                        "--main-lcore",
                                        "0",
                                        "-m",
                                        std::to_string(options.memory_mib),
                                        "--file-prefix",
                                        "steelyard-" + std::to_string(process_id),
                                        "--no-telemetry",
                                        "--log-level",
                                        "warning"};
  if (options.use_huge_pages) {
    arguments.insert(arguments.end(), {"--in-memory"});
  } else {
    arguments.insert(arguments.end(), {"--no-huge", "--no-shconf"});
  }
  // Without a device there are no bus addresses to care for (see mbuf_pool.cc).
  if (options.pci_addresses.empty())
    arguments.insert(arguments.end(), {"--no-pci", "--iova-mode", "va"});
  else
    arguments.insert(arguments.end(), {"-a", kNoDevice});
  for (const std::string& plugin : options.plugins)
    arguments.insert(arguments.end(), {"-d", plugin});
  return arguments;
}

int NodeOfWorker(uint32_t worker_index) {
  const unsigned node = rte_lcore_to_socket_id(LcoreOfWorker(worker_index));
  return node == static_cast<unsigned>(SOCKET_ID_ANY) ? -1 : static_cast<int>(node);
}

Result<std::unique_ptr<Eal>> Eal::Start(const EalOptions& options) {
  if (const Status status = CheckHugePages(options); !status) return status.error();
  if (const Status status = CheckPciDevices(options); !status) return status.error();

  std::vector<std::string> arguments = EalArguments(options, getpid());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0)
    return Error{std::string("DPDK's environment did not start: ") + rte_strerror(rte_errno)};
  RemoveRuntimeDirectory();
  return std::unique_ptr<Eal>(new Eal());
}

Status Eal::Launch(uint32_t worker_index, const std::function<void()>& run) {
  const auto call = [](void* function) {
    (*static_cast<const std::function<void()>*>(function))();
    return 0;
  };
  void* const function = const_cast<std::function<void()>*>(&run);
  if (const int error = rte_eal_remote_launch(call, function, LcoreOf(worker_index)); error != 0) {
    return Error{"worker " + std::to_string(worker_index) +
                 " did not start: " + rte_strerror(-error)};
  }
  return Ok{};
}

void Eal::Join(uint32_t worker_index) {
  rte_eal_wait_lcore(LcoreOf(worker_index));
}

Eal::~Eal() {
  rte_eal_cleanup();
}

}  // namespace steelyard::dpdk
