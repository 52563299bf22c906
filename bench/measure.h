// SPDX-License-Identifier: Apache-2.0
//
// What the benchmarks measure with: this thread's own time, memory as the dataplane's tables have
// it, and the yardstick of everything that looks into memory: random cache lines, fetched in
// batches of 32. A figure and its yardstick are measured by turns, so that whatever else the
// machine does meets both; what counts is the ratio.
#pragma once

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <vector>

namespace steelyard::bench {

// Of this thread's own time: others on the machine only count by what they do to its caches.
inline double CpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <typename Work>
double SecondsOf(Work&& work) {
  const double start = CpuSeconds();
  work();
  return CpuSeconds() - start;
}

inline double Median(std::vector<double> of) {
  const auto middle = of.begin() + static_cast<long>(of.size() / 2);
  std::nth_element(of.begin(), middle, of.end());
  return *middle;
}

// On huge pages where the kernel gives them, as the dataplane's own table.
class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_((bytes + kHugePage - 1) / kHugePage * kHugePage) {
    base_ = mmap(nullptr, bytes_ + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
    if (base_ == MAP_FAILED) std::abort();
    const auto at = reinterpret_cast<uintptr_t>(base_);
    data_ = reinterpret_cast<std::byte*>((at + kHugePage - 1) / kHugePage * kHugePage);
    madvise(data_, bytes_, MADV_HUGEPAGE);
    std::memset(data_, 0, bytes_);
  }
  ~Memory() { munmap(base_, bytes_ + kHugePage); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::span<std::byte> span() { return {data_, bytes_}; }

 private:
  static constexpr size_t kHugePage = 2 << 20;
  size_t bytes_;
  void* base_;
  std::byte* data_;
};

// The yardstick: random lines of that memory, in batches of 32.
class RandomLines {
 public:
  static constexpr uint32_t kCount = 2048;

  explicit RandomLines(std::span<const std::byte> memory) : memory_(memory) {}

  double NsPerLine() {
    for (size_t& line : lines_) line = random_() % (memory_.size() / kLineBytes) * kLineBytes;
    uint64_t sum = 0;
    const double seconds = SecondsOf([&] { sum = Read(); });
    asm volatile("" : : "r"(sum));
    return seconds * 1e9 / kCount;
  }

 private:
  static constexpr size_t kLineBytes = 64;
  static constexpr uint32_t kBatch = 32;

  uint64_t Read() const {
    uint64_t sum = 0;
    for (uint32_t begin = 0; begin < kCount; begin += kBatch) {
      for (uint32_t i = begin; i < begin + kBatch; ++i) __builtin_prefetch(&memory_[lines_[i]]);
      for (uint32_t i = begin; i < begin + kBatch; ++i)
        sum += static_cast<uint64_t>(memory_[lines_[i]]);
    }
    return sum;
  }

  std::span<const std::byte> memory_;
  std::array<size_t, kCount> lines_;
  std::mt19937_64 random_{2};
};

}  // namespace steelyard::bench
