// SPDX-License-Identifier: Apache-2.0
#include "numa_node.h"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace steelyard {
namespace {

int Policy() {
  int policy = -1;
  EXPECT_EQ(syscall(SYS_get_mempolicy, &policy, nullptr, 0, nullptr, 0), 0);
  return policy;
}

TEST(NumaNode, IsWhereTheKernelSaysThatTheCpuIs) {
  unsigned cpu, node;
  ASSERT_EQ(getcpu(&cpu, &node), 0);
  const auto found = NumaNodeOf(cpu);
  if (found) {
    EXPECT_LT(*found, 64u);
  } else {
    EXPECT_EQ(node, 0u) << "a machine without nodes";
  }
  EXPECT_FALSE(NumaNodeOf(1u << 20)) << "no such CPU";
  EXPECT_FALSE(NumaNodeOfPciDevice("ffff:ff:1f.7")) << "no such device";
}

TEST(NumaNode, ItsMemoryComesFirstAndOnlyMeanwhile) {
  unsigned cpu, node;
  ASSERT_EQ(getcpu(&cpu, &node), 0);
  const int before = Policy();
  {
    const PreferNumaNode prefer(NumaNodeOf(cpu));
    EXPECT_EQ(Policy(), NumaNodeOf(cpu) ? MPOL_PREFERRED : before);
    constexpr size_t kBytes = 1 << 20;
    void* const memory =
        mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    *static_cast<char*>(memory) = 1;
    int of_page = -1;
    EXPECT_EQ(syscall(SYS_get_mempolicy, &of_page, nullptr, 0, memory, MPOL_F_NODE | MPOL_F_ADDR),
              0);
    EXPECT_EQ(static_cast<uint32_t>(of_page), NumaNodeOf(cpu).value_or(0));
    munmap(memory, kBytes);
  }
  EXPECT_EQ(Policy(), before);
}

TEST(NumaNode, NoneIsAsEver) {
  const int before = Policy();
  const PreferNumaNode prefer(std::nullopt);
  EXPECT_EQ(Policy(), before);
}

}  // namespace
}  // namespace steelyard
