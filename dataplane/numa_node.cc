// SPDX-License-Identifier: Apache-2.0
#include "numa_node.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <string>

namespace steelyard {
namespace {

// As the system call takes them: a bit a node.
constexpr uint32_t kMostNodes = 64;

bool SetPolicy(int policy, uint64_t nodes) {
  return syscall(SYS_set_mempolicy, policy, nodes == 0 ? nullptr : &nodes, kMostNodes) == 0;
}

}  // namespace

std::optional<uint32_t> NumaNodeOf(uint32_t cpu) {
  constexpr std::string_view kPrefix = "node";
  const std::string directory = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename();
    uint32_t node;
    if (!name.starts_with(kPrefix)) continue;
    const char* const end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, node);
    if (error == std::errc{} && stop == end && node < kMostNodes) return node;
  }
  return std::nullopt;
}

std::optional<uint32_t> NumaNodeOfPciDevice(const std::string& address) {
  int node = -1;
  std::ifstream("/sys/bus/pci/devices/" + address + "/numa_node") >> node;
  if (node < 0 || static_cast<uint32_t>(node) >= kMostNodes) return std::nullopt;
  return static_cast<uint32_t>(node);
}

PreferNumaNode::PreferNumaNode(std::optional<uint32_t> node)
    : is_set_(node && SetPolicy(MPOL_PREFERRED, uint64_t{1} << *node)) {}

PreferNumaNode::~PreferNumaNode() {
  if (is_set_) SetPolicy(MPOL_DEFAULT, 0);
}

}  // namespace steelyard
