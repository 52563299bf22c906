// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/desired_state_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "controlplane/config/test_states.h"
#include "controlplane/state/state_file.h"

namespace steelyard::controlplane {
namespace {

using Outcome = DesiredStateStore::Outcome;

class Store : public testing::Test {
 protected:
  Store() {
    std::string pattern = testing::TempDir() + "steelyard-store-XXXXXX";
    root_ = mkdtemp(pattern.data());
    directory_ = root_;
  }
  ~Store() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<DesiredStateStore> Open(size_t history = DesiredStateStore::kDefaultHistory) {
    auto store = DesiredStateStore::Open(directory_, history);
    EXPECT_TRUE(store) << store.error().message;
    return store ? std::move(*store) : nullptr;
  }

  std::string PathOf(uint64_t generation) { return directory_ + '/' + StateFileName(generation); }

  static v1::DesiredState WithWeight(uint32_t weight) {
    v1::DesiredState state = GoodState();
    state.mutable_services(0)->mutable_backends(0)->set_weight(weight);
    return state;
  }

  std::string root_;       // ends with the test
  std::string directory_;  // the store's
};

TEST_F(Store, StartsEmptyAtGenerationZero) {
  const auto store = Open();
  EXPECT_EQ(store->generation(), 0u);
  EXPECT_EQ(store->state().services_size(), 0);
  EXPECT_FALSE((*store->Get(0)).has_value());
}

TEST_F(Store, MakesItsDirectory) {
  directory_ += "/a";
  EXPECT_EQ(Open()->generation(), 0u);
}

TEST_F(Store, SurvivesARestart) {
  EXPECT_EQ(Open()->Apply(WithWeight(1), 0).outcome, Outcome::kStored);
  EXPECT_EQ(Open()->Apply(WithWeight(2), 0).generation, 2u);
  const auto store = Open();
  EXPECT_EQ(store->generation(), 2u);
  EXPECT_EQ(store->state().DebugString(), WithWeight(2).DebugString());
}

TEST_F(Store, AnEqualStateIsNoNewGeneration) {
  const auto store = Open();
  store->Apply(WithWeight(1), 0);
  v1::DesiredState reordered = WithWeight(1);
  reordered.mutable_services()->SwapElements(0, 1);
  const auto applied = store->Apply(reordered, 0);
  EXPECT_EQ(applied.outcome, Outcome::kUnchanged);
  EXPECT_EQ(applied.generation, 1u);
  EXPECT_FALSE(std::filesystem::exists(PathOf(2)));
}

TEST_F(Store, WantingNothingIsAStateToo) {
  const auto store = Open();
  EXPECT_EQ(store->Apply({}, 0).outcome, Outcome::kStored);
  EXPECT_EQ(store->generation(), 1u);
  EXPECT_EQ(store->Apply({}, 0).outcome, Outcome::kUnchanged);
}

TEST_F(Store, TellsWhatChanged) {
  const auto store = Open();
  EXPECT_EQ(store->Apply(WithWeight(1), 0).changes.size(), 5u);
  const auto applied = store->Apply(WithWeight(2), 0);
  ASSERT_EQ(applied.changes.size(), 1u);
  EXPECT_EQ(applied.changes[0].path(), "services[web].backends[10.0.2.11:80].weight");
}

TEST_F(Store, AConflictChangesNothing) {
  const auto store = Open();
  store->Apply(WithWeight(1), 0);
  store->Apply(WithWeight(2), 1);
  const auto applied = store->Apply(WithWeight(3), 1);
  EXPECT_EQ(applied.outcome, Outcome::kConflict);
  EXPECT_EQ(applied.generation, 2u);
  EXPECT_EQ(store->state().services(0).backends(0).weight(), 2u);
  EXPECT_EQ(store->Apply(WithWeight(2), 1).outcome, Outcome::kConflict);
}

TEST_F(Store, APreviewStoresNothing) {
  const auto store = Open();
  const auto preview = store->Preview(WithWeight(1), 0);
  EXPECT_EQ(preview.outcome, Outcome::kStored);
  EXPECT_EQ(preview.generation, 1u);
  EXPECT_EQ(store->generation(), 0u);
  EXPECT_TRUE(store->Generations().empty());
}

TEST_F(Store, KeepsABoundedHistory) {
  const auto store = Open(3);
  for (uint32_t weight = 1; weight <= 10; ++weight) store->Apply(WithWeight(weight), 0);
  EXPECT_EQ(store->Generations(), (std::vector<uint64_t>{8, 9, 10}));
  EXPECT_EQ((*store->Get(8))->services(0).backends(0).weight(), 8u);
  EXPECT_FALSE((*store->Get(7)).has_value());
  EXPECT_FALSE((*store->Get(11)).has_value());
}

TEST_F(Store, RollingBackIsANewGeneration) {
  const auto store = Open();
  store->Apply(WithWeight(1), 0);
  store->Apply(WithWeight(2), 0);
  EXPECT_EQ(store->Apply(**store->Get(1), 0).generation, 3u);
  EXPECT_EQ(store->state().services(0).backends(0).weight(), 1u);
}

TEST_F(Store, ACorruptNewestFileIsNotPassedOver) {
  Open()->Apply(WithWeight(1), 0);
  Open()->Apply(WithWeight(2), 0);
  std::filesystem::resize_file(PathOf(2), std::filesystem::file_size(PathOf(2)) - 1);
  const auto store = DesiredStateStore::Open(directory_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().message,
            PathOf(2) +
                ": damaged: its content is not what its first line says (remove this file to go "
                "back to the generation before it)");
}

TEST_F(Store, ACorruptOldFileIsAnErrorOnlyForItself) {
  Open()->Apply(WithWeight(1), 0);
  Open()->Apply(WithWeight(2), 0);
  std::ofstream(PathOf(1)) << "nonsense";
  const auto store = Open();
  EXPECT_EQ(store->generation(), 2u);
  EXPECT_EQ(store->Get(1).error().message, PathOf(1) + ": not a state file");
}

TEST_F(Store, AnUnfinishedWriteDoesNotCount) {
  Open()->Apply(WithWeight(1), 0);
  std::ofstream(directory_ + "/next.tmp") << "half";
  EXPECT_EQ(Open()->generation(), 1u);
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/next.tmp"));
}

TEST_F(Store, AFailedWriteChangesNothing) {
  const auto store = Open();
  store->Apply(WithWeight(1), 0);
  std::filesystem::create_directory(directory_ + "/next.tmp");
  const auto applied = store->Apply(WithWeight(2), 0);
  EXPECT_EQ(applied.outcome, Outcome::kFailed);
  EXPECT_EQ(applied.error, PathOf(2) + ": cannot be created: Is a directory");
  EXPECT_EQ(store->generation(), 1u);
  EXPECT_EQ(store->state().services(0).backends(0).weight(), 1u);
  std::filesystem::remove(directory_ + "/next.tmp");
  EXPECT_EQ(store->Apply(WithWeight(2), 0).generation, 2u);
}

TEST_F(Store, BelongsToOneProcess) {
  const auto first = Open();
  const auto second = DesiredStateStore::Open(directory_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message, directory_ + ": in use by another control plane");
}

TEST_F(Store, ADirectoryThatCannotBeIsAnError) {
  EXPECT_FALSE(DesiredStateStore::Open("/proc/steelyard"));
  std::ofstream(directory_ + "/file") << "";
  EXPECT_FALSE(DesiredStateStore::Open(directory_ + "/file"));
}

}  // namespace
}  // namespace steelyard::controlplane
