// SPDX-License-Identifier: Apache-2.0
#include "worker/worker_mailbox.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace steelyard::worker {
namespace {

// Collects one number a step. Plain memory: a missing happens-before is the thread sanitizer's to
// find.
class CollectingTask final : public Task {
 public:
  explicit CollectingTask(int steps) : steps_(steps) {}
  bool Step(core::Pipeline&, uint64_t now_ns) override {
    seen.push_back(now_ns);
    return static_cast<int>(seen.size()) == steps_;
  }
  std::vector<uint64_t> seen;

 private:
  const int steps_;
};

class WorkerMailboxTest : public testing::Test {
 protected:
  // The pipeline is never looked into here; the mailbox only passes it on.
  core::Pipeline& pipeline() { return *reinterpret_cast<core::Pipeline*>(pipeline_memory_); }

  alignas(64) std::byte pipeline_memory_[64]{};
  WorkerMailbox mailbox_;
};

TEST_F(WorkerMailboxTest, StepsUntilTheTaskIsDoneAndNotOnceMore) {
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    for (uint64_t now = 1; !stop.load(); ++now) mailbox_.Step(pipeline(), now);
  });
  for (int steps = 1; steps <= 50; ++steps) {
    CollectingTask task(steps);
    ASSERT_TRUE(mailbox_.Run(task));
    ASSERT_EQ(task.seen.size(), static_cast<size_t>(steps));
    for (size_t i = 1; i < task.seen.size(); ++i) ASSERT_EQ(task.seen[i], task.seen[i - 1] + 1);
  }
  stop = true;
  worker.join();
}

TEST_F(WorkerMailboxTest, ATaskForAWorkerThatHasLeftIsRefused) {
  mailbox_.Leave();
  CollectingTask task(1);
  EXPECT_FALSE(mailbox_.Run(task));
  EXPECT_TRUE(task.seen.empty());
}

TEST_F(WorkerMailboxTest, AWorkerThatLeavesHalfWayReleasesWhoWaits) {
  std::thread worker([&] {
    for (int i = 0; i < 1000; ++i) {
      mailbox_.Step(pipeline(), 1);
      std::this_thread::yield();
    }
    mailbox_.Leave();
  });
  CollectingTask task(1 << 30);
  EXPECT_FALSE(mailbox_.Run(task));
  worker.join();
}

}  // namespace
}  // namespace steelyard::worker
