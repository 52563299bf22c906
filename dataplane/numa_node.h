// SPDX-License-Identifier: Apache-2.0
//
// Memory near the core that works on it. A session's lines are fetched for every packet, and from
// another socket that takes about twice as long.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace steelyard {

// Nothing where the kernel knows of none. Any thread.
std::optional<uint32_t> NumaNodeOf(uint32_t cpu);
std::optional<uint32_t> NumaNodeOfPciDevice(const std::string& address);  // "0000:03:00.0"

// While it lives, pages that the calling thread is the first to touch come from that node, as long
// as it has any; then from others, which is slower and not wrong. Without a node: as ever.
class PreferNumaNode {
 public:
  explicit PreferNumaNode(std::optional<uint32_t> node);
  ~PreferNumaNode();
  PreferNumaNode(const PreferNumaNode&) = delete;
  PreferNumaNode& operator=(const PreferNumaNode&) = delete;

 private:
  const bool is_set_;
};

}  // namespace steelyard
