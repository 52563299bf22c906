// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/source_map.h"

#include <algorithm>

namespace steelyard::controlplane {

std::string_view ParentPath(std::string_view path) {
  const size_t end = path.find_last_of(".[");
  return end == std::string_view::npos ? std::string_view{} : path.substr(0, end);
}

Position SourceMap::Find(std::string_view path) const {
  for (;;) {
    const auto found = positions_.find(std::string(path));
    if (found != positions_.end()) return found->second;
    if (path.empty()) return {};
    path = ParentPath(path);
  }
}

std::string FormatFault(const std::string& file, const Fault& fault) {
  std::string text = file;
  if (fault.position.line != 0)
    text += ':' + std::to_string(fault.position.line) + ':' + std::to_string(fault.position.column);
  if (!fault.path.empty()) text += ": " + fault.path;
  return text + ": " + fault.message;
}

std::string FormatViolation(const std::string& file, const SourceMap& map,
                            const v1::Violation& violation) {
  return FormatFault(file, {map.Find(violation.path()), violation.path(), violation.message()});
}

std::string FormatFaults(const std::string& file, std::vector<Fault> faults) {
  std::stable_sort(faults.begin(), faults.end(),
                   [](const Fault& a, const Fault& b) { return a.position < b.position; });
  std::string text;
  for (const Fault& fault : faults) text += FormatFault(file, fault) + '\n';
  return text;
}

}  // namespace steelyard::controlplane
