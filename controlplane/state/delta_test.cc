// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/delta.h"

#include <gtest/gtest.h>

#include <map>

#include "controlplane/config/resolve.h"
#include "controlplane/config/test_states.h"

namespace steelyard::controlplane {
namespace {

// What the dataplane does with it.
ResolvedServices Applied(const ResolvedServices& before, const ServicesDelta& delta) {
  std::map<std::string, v1::Service> services;
  for (const v1::Service& service : before) services[service.name()] = service;
  for (const v1::Service& service : delta.changed) services[service.name()] = service;
  for (const std::string& name : delta.removed) services.erase(name);
  ResolvedServices after;
  for (const auto& [name, service] : services) after.push_back(service);
  return after;
}

TEST(Delta, AppliedToTheOldGivesTheNew) {
  RandomStates states(1);
  for (int i = 0; i < 500; ++i) {
    const ResolvedServices a = ResolveServices(states.Next()), b = ResolveServices(states.Next());
    const ResolvedServices result = Applied(a, MakeDelta(a, b));
    EXPECT_EQ(result.size(), b.size());
    EXPECT_EQ(ServicesFingerprint(result), ServicesFingerprint(b));
  }
}

TEST(Delta, OfEqualServicesIsEmptyInAnyOrder) {
  ResolvedServices services = ResolveServices(GoodState());
  EXPECT_TRUE(MakeDelta(services, services).empty());
  const ResolvedServices reversed = {services[1], services[0]};
  EXPECT_TRUE(MakeDelta(services, reversed).empty());
  EXPECT_EQ(ServicesFingerprint(services), ServicesFingerprint(reversed));
}

TEST(Delta, HoldsOnlyWhatChanged) {
  const ResolvedServices before = ResolveServices(GoodState());
  ResolvedServices after = before;
  after[0].mutable_backends(0)->set_weight(9);
  const ServicesDelta delta = MakeDelta(before, after);
  ASSERT_EQ(delta.changed.size(), 1u);
  EXPECT_EQ(delta.changed[0].backends(0).weight(), 9u);
  EXPECT_TRUE(delta.removed.empty());
  EXPECT_NE(ServicesFingerprint(before), ServicesFingerprint(after));
}

TEST(Delta, LosingTheLastBackendIsAChange) {
  const ResolvedServices before = ResolveServices(GoodState());
  ResolvedServices after = before;
  after[0].clear_backends();
  ASSERT_EQ(MakeDelta(before, after).changed.size(), 1u);
  EXPECT_EQ(MakeDelta(before, after).changed[0].backends_size(), 0);
}

TEST(Delta, LosingTheLastServiceIsARemoval) {
  const ResolvedServices before = ResolveServices(GoodState());
  const ServicesDelta delta = MakeDelta(before, {});
  EXPECT_EQ(delta.removed, (std::vector<std::string>{"web", "web6"}));
  EXPECT_TRUE(delta.changed.empty());
}

TEST(Delta, Requests) {
  const ResolvedServices services = ResolveServices(GoodState());
  const v1::ApplyServicesRequest replace = MakeReplaceRequest(services, 7);
  EXPECT_TRUE(replace.replace());
  EXPECT_EQ(replace.generation(), 7u);
  EXPECT_EQ(replace.services_size(), 2);
  const v1::ApplyServicesRequest change =
      MakeDeltaRequest(MakeDelta(services, {services[0]}), 8, 7);
  EXPECT_FALSE(change.replace());
  EXPECT_EQ(change.generation(), 8u);
  EXPECT_EQ(change.base_generation(), 7u);
  EXPECT_EQ(change.services_size(), 0);
  EXPECT_EQ(change.removed(0), "web6");
}

}  // namespace
}  // namespace steelyard::controlplane
