// SPDX-License-Identifier: Apache-2.0
#include "session_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace steelyard {
namespace {

constexpr size_t kHugePageBytes = 2u << 20;

}  // namespace

net::Result<SessionMemory> SessionMemory::Map(size_t bytes, bool use_huge_pages) {
  const size_t rounded = (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS |
                    (use_huge_pages ? MAP_HUGETLB | MAP_POPULATE | (21 << MAP_HUGE_SHIFT) : 0);
  void* memory = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory == MAP_FAILED) {
    const std::string mib = std::to_string(rounded >> 20);
    return net::Error{"no memory for the session table, " + mib + " MiB" +
                      (use_huge_pages ? " in huge pages of 2 MiB" : "") + " (" +
                      std::strerror(errno) + "): lower --session-capacity" +
                      (use_huge_pages ? ", reserve more of them (sysctl vm.nr_hugepages=N), or "
                                        "use --memory none"
                                      : "")};
  }
  if (!use_huge_pages) madvise(memory, rounded, MADV_HUGEPAGE);
  return SessionMemory({static_cast<std::byte*>(memory), rounded});
}

SessionMemory::SessionMemory(SessionMemory&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})) {}

SessionMemory::~SessionMemory() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

}  // namespace steelyard
