// SPDX-License-Identifier: Apache-2.0
#include "control/session_sharing.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>

namespace steelyard::control {
namespace {

constexpr uint32_t kWorkers = 4;

class SessionSharingTest : public testing::Test {
 protected:
  SessionSharingTest() {
    for (uint32_t i = 0; i < kWorkers; ++i)
      workers_.push_back(states_.emplace_back(std::make_unique<core::WorkerState>(i)).get());
    service_->slot = 7;
    service_->backends.resize(2);
    service_->backends[0].slot = 3;
    service_->backends[1].slot = 5;
    snapshot_.services.resize(8);
    snapshot_.services[7] = service_;
  }

  uint64_t Active() const {
    uint64_t sum = 0;
    for (const core::WorkerState* worker : workers_) sum += worker->services[7].sessions_active();
    return sum;
  }
  // A new flow that arrives at that worker. False: refused.
  bool Open(uint32_t worker) {
    core::WorkerState& state = *workers_[worker];
    if (!core::HasRoom(state.services[7].sessions_active(), service_->max_sessions,
                       state.service_shares[7]))
      return false;
    state.services[7].sessions_created.Add(1);
    return true;
  }
  void End(uint32_t worker) {
    if (workers_[worker]->services[7].sessions_active() != 0)
      workers_[worker]->services[7].sessions_ended.Add(1);
  }

  std::vector<std::unique_ptr<core::WorkerState>> states_;
  std::vector<core::WorkerState*> workers_;
  std::shared_ptr<core::Service> service_ = std::make_shared<core::Service>();
  core::Snapshot snapshot_;
};

TEST_F(SessionSharingTest, TheLimitHoldsForAllWorkersTogether) {
  std::mt19937 random(1);
  for (const uint32_t limit : {1u, 2u, 3u, 4u, 5u, 100u, 1001u}) {
    service_->max_sessions = limit;
    SessionSharing sharing(workers_);
    sharing.Follow(snapshot_);
    uint64_t most = 0;
    for (int step = 0; step < 20'000; ++step) {
      const auto worker = static_cast<uint32_t>(random() % kWorkers);
      const auto action = random() % 100;
      if (action < 60)
        Open(worker);
      else if (action < 90)
        End(worker);
      else
        sharing.DealOut();
      most = std::max(most, Active());
      ASSERT_LT(Active(), limit + kWorkers);
    }
    EXPECT_GE(most, std::min<uint64_t>(limit, 100)) << "and all of it can be used";
    for (uint32_t worker = 0; worker < kWorkers; ++worker)
      while (workers_[worker]->services[7].sessions_active() != 0) End(worker);
  }
}

TEST_F(SessionSharingTest, AllOfALimitIsForOneWorkerIfNobodyElseNeedsIt) {
  service_->max_sessions = 1000;
  SessionSharing sharing(workers_);
  sharing.Follow(snapshot_);
  int deals = 0;
  while (Active() < 1000) {
    while (Open(2)) {
    }
    sharing.DealOut();
    ASSERT_LT(++deals, 40) << "what is left is dealt out again and again";
  }
  EXPECT_FALSE(Open(2));
  EXPECT_FALSE(Open(0));
}

TEST_F(SessionSharingTest, ALoweredLimitHoldsAtOnce) {
  service_->max_sessions = 1000;
  SessionSharing sharing(workers_);
  sharing.Follow(snapshot_);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Open(0));
  service_->max_sessions = 50;
  sharing.Follow(snapshot_);
  for (uint32_t worker = 0; worker < kWorkers; ++worker) EXPECT_FALSE(Open(worker));
}

TEST_F(SessionSharingTest, OthersSessionsAreKnownWhereTheyAreCompared) {
  service_->scheduler = core::FindSchedulerKind("least_connections")->make(service_->backends);
  for (uint32_t worker = 0; worker < kWorkers; ++worker)
    workers_[worker]->backends[3].sessions_created.Add(worker);
  SessionSharing sharing(workers_);
  sharing.Follow(snapshot_);
  for (uint32_t worker = 0; worker < kWorkers; ++worker)
    EXPECT_EQ(workers_[worker]->backend_shares[3].elsewhere.load(), 0 + 1 + 2 + 3 - worker);
  service_->scheduler = core::FindSchedulerKind("round_robin")->make(service_->backends);
  sharing.Follow(snapshot_);
  EXPECT_FALSE(sharing.is_needed());
}

TEST_F(SessionSharingTest, OneWorkerIsExactWithoutIt) {
  service_->max_sessions = 3;
  SessionSharing sharing({workers_[0]});
  sharing.Follow(snapshot_);
  EXPECT_FALSE(sharing.is_needed());
  EXPECT_TRUE(Open(0) && Open(0) && Open(0));
  EXPECT_FALSE(Open(0));
}

}  // namespace
}  // namespace steelyard::control
