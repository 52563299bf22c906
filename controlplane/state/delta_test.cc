// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/delta.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "controlplane/config/resolve.h"
#include "controlplane/config/test_states.h"

namespace steelyard::controlplane {
namespace {

// What the dataplane does with it.
ResolvedServices Applied(const ResolvedServices& before, const ServicesDelta& delta) {
  std::map<std::string, v1::Service> services;
  for (const v1::Service& service : before.services) services[service.name()] = service;
  for (const v1::Service& service : delta.changed) services[service.name()] = service;
  for (const std::string& name : delta.removed) services.erase(name);
  ResolvedServices after;
  for (const auto& [name, service] : services) after.services.push_back(service);
  after.outbound_gateways = delta.outbound_gateways;
  return after;
}

TEST(Delta, AppliedToTheOldGivesTheNew) {
  RandomStates states(1);
  for (int i = 0; i < 500; ++i) {
    const ResolvedServices a = ResolveServices(states.Next()), b = ResolveServices(states.Next());
    const ResolvedServices result = Applied(a, MakeDelta(a, b));
    EXPECT_EQ(result.services.size(), b.services.size());
    EXPECT_EQ(ServicesFingerprint(result), ServicesFingerprint(b));
  }
}

TEST(Delta, OfEqualServicesIsEmptyInAnyOrder) {
  const ResolvedServices services = ResolveServices(GoodState());
  ResolvedServices reversed = services;
  std::swap(reversed.services[0], reversed.services[1]);
  for (const ResolvedServices& after : {services, reversed}) {
    EXPECT_TRUE(MakeDelta(services, after).changed.empty());
    EXPECT_TRUE(MakeDelta(services, after).removed.empty());
  }
  EXPECT_EQ(ServicesFingerprint(services), ServicesFingerprint(reversed));
}

TEST(Delta, HoldsOnlyWhatChanged) {
  const ResolvedServices before = ResolveServices(GoodState());
  ResolvedServices after = before;
  after.services[0].mutable_backends(0)->set_weight(9);
  const ServicesDelta delta = MakeDelta(before, after);
  ASSERT_EQ(delta.changed.size(), 1u);
  EXPECT_EQ(delta.changed[0].backends(0).weight(), 9u);
  EXPECT_TRUE(delta.removed.empty());
  EXPECT_NE(ServicesFingerprint(before), ServicesFingerprint(after));
}

TEST(Delta, LosingTheLastBackendIsAChange) {
  const ResolvedServices before = ResolveServices(GoodState());
  ResolvedServices after = before;
  after.services[0].clear_backends();
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
  EXPECT_EQ(replace.outbound_gateways_size(), 1);
  ResolvedServices one = services;
  one.services.resize(1);
  const v1::ApplyServicesRequest change = MakeDeltaRequest(MakeDelta(services, one), 8, 7);
  EXPECT_FALSE(change.replace());
  EXPECT_EQ(change.generation(), 8u);
  EXPECT_EQ(change.base_generation(), 7u);
  EXPECT_EQ(change.services_size(), 0);
  EXPECT_EQ(change.removed(0), "web6");
  EXPECT_EQ(change.outbound_gateways_size(), 1) << "all of them, though none has changed";
}

TEST(Delta, TheOrderOfGatewaysIsPartOfTheFingerprint) {
  ResolvedServices services = ResolveServices(GoodState());
  services.outbound_gateways.push_back(services.outbound_gateways[0]);
  services.outbound_gateways[1].set_name("guests");
  ResolvedServices reversed = services;
  std::swap(reversed.outbound_gateways[0], reversed.outbound_gateways[1]);
  EXPECT_NE(ServicesFingerprint(services), ServicesFingerprint(reversed));
  const ServicesDelta delta = MakeDelta(services, reversed);
  EXPECT_EQ(ServicesFingerprint(Applied(services, delta)), ServicesFingerprint(reversed));
}

}  // namespace
}  // namespace steelyard::controlplane
