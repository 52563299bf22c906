// SPDX-License-Identifier: Apache-2.0
#include "worker/snapshot_publisher.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace steelyard::worker {
namespace {

using std::chrono::milliseconds;

// Tells how many of its kind live, and spoils itself when freed.
class Probe {
 public:
  explicit Probe(uint64_t number) : number_(number), check_(~number) { ++alive; }
  ~Probe() {
    number_ = check_ = 0;
    --alive;
  }
  Probe(const Probe&) = delete;
  bool IsWhole() const { return check_ == ~number_; }
  uint64_t number() const { return number_; }

  static inline int alive = 0;  // the publishing thread's

 private:
  uint64_t number_;
  uint64_t check_;
};

using ProbePublisher = Publisher<Probe>;

TEST(SnapshotPublisher, AReaderSeesWhatWasPublishedLast) {
  ProbePublisher publisher(std::make_unique<Probe>(1), 0);
  EXPECT_EQ(publisher.Publish(std::make_unique<Probe>(2)).complete, true);
  EXPECT_EQ(publisher.current().number(), 2u);
  EXPECT_EQ(Probe::alive, 1);
}

TEST(SnapshotPublisher, ALateWorkerKeepsWhatItMayStillRead) {
  ProbePublisher publisher(std::make_unique<Probe>(1), 2);
  const Probe& pinned = publisher.Pin(1);
  const ProbePublisher::Report late =
      publisher.Publish(std::make_unique<Probe>(2), milliseconds(1));
  EXPECT_FALSE(late.complete);
  EXPECT_EQ(late.late_worker, 0u);
  EXPECT_GE(late.wait_ns, 1'000'000u);
  EXPECT_TRUE(pinned.IsWhole());
  EXPECT_EQ(Probe::alive, 2);

  EXPECT_EQ(publisher.Pin(0).number(), 2u);
  const ProbePublisher::Report half =
      publisher.Publish(std::make_unique<Probe>(3), milliseconds(1));
  EXPECT_FALSE(half.complete);
  EXPECT_EQ(Probe::alive, 3);

  publisher.Leave(0);
  publisher.Leave(1);
  EXPECT_TRUE(publisher.Publish(std::make_unique<Probe>(4), milliseconds(1)).complete);
  EXPECT_EQ(Probe::alive, 1);
}

TEST(SnapshotPublisher, NobodyReadsAFreedSnapshotAndNumbersOnlyGrow) {
  constexpr uint32_t kWorkers = 3;
  constexpr uint64_t kPublications = 300;
  ProbePublisher publisher(std::make_unique<Probe>(0), kWorkers);
  std::vector<std::thread> threads;
  std::vector<uint64_t> faults(kWorkers);
  for (uint32_t worker = 0; worker < kWorkers; ++worker) {
    threads.emplace_back([&, worker] {
      uint64_t last = 0;
      while (last < kPublications) {
        const Probe& probe = publisher.Pin(worker);
        const uint64_t number = probe.number();
        if (!probe.IsWhole() || number < last) ++faults[worker];
        last = number;
      }
      publisher.Leave(worker);
    });
  }
  for (uint64_t number = 1; number <= kPublications; ++number) {
    const ProbePublisher::Report report =
        publisher.Publish(std::make_unique<Probe>(number), std::chrono::seconds(60));
    ASSERT_TRUE(report.complete);
    ASSERT_EQ(Probe::alive, 1) << "what was replaced is freed when Publish returns";
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(faults, std::vector<uint64_t>(kWorkers));
}

}  // namespace
}  // namespace steelyard::worker
