// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/diff.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "controlplane/config/test_states.h"

namespace steelyard::controlplane {
namespace {

std::string Text(const std::vector<v1::Change>& changes) {
  std::string text;
  for (const v1::Change& change : changes)
    text += v1::Change::Kind_Name(change.kind()).substr(5, 1) + ' ' + change.path() + ": " +
            change.before() + " -> " + change.after() + '\n';
  return text;
}

v1::Change Reversed(v1::Change change) {
  if (change.kind() != v1::Change::KIND_CHANGED)
    change.set_kind(change.kind() == v1::Change::KIND_ADDED ? v1::Change::KIND_REMOVED
                                                            : v1::Change::KIND_ADDED);
  change.mutable_before()->swap(*change.mutable_after());
  return change;
}

TEST(Diff, OfAStateAndItselfIsEmpty) {
  RandomStates states(1);
  for (int i = 0; i < 200; ++i) {
    const v1::DesiredState state = states.Next();
    EXPECT_EQ(Text(Diff(state, state)), "");
  }
}

TEST(Diff, IsEmptyOnlyForEqualStates) {
  RandomStates states(2);
  for (int i = 0; i < 1000; ++i) {
    const v1::DesiredState a = states.Next(), b = states.Next();
    EXPECT_EQ(Diff(a, b).empty(), a.SerializeAsString() == b.SerializeAsString());
  }
}

TEST(Diff, OfTheOtherDirectionIsReversed) {
  RandomStates states(3);
  for (int i = 0; i < 500; ++i) {
    const v1::DesiredState a = states.Next(), b = states.Next();
    std::vector<v1::Change> back = Diff(b, a);
    std::transform(back.begin(), back.end(), back.begin(), Reversed);
    EXPECT_EQ(Text(Diff(a, b)), Text(back));
  }
}

TEST(Diff, SeesTheOrderOfOutboundGateways) {
  v1::DesiredState before = GoodState();
  *before.add_outbound_gateways() = before.outbound_gateways(0);
  before.mutable_outbound_gateways(1)->set_name("guests");
  v1::DesiredState after = before;
  after.mutable_outbound_gateways()->SwapElements(0, 1);
  EXPECT_EQ(Text(Diff(before, after)), "C outbound_gateways: office, guests -> guests, office\n");
  after = before;
  after.mutable_outbound_gateways()->DeleteSubrange(0, 1);
  EXPECT_EQ(Diff(before, after).size(), 1u) << "what stays has no other order";
}

TEST(Diff, DoesNotSeeOrderElsewhere) {
  RandomStates states(4);
  for (int i = 0; i < 200; ++i) {
    const v1::DesiredState state = states.Next();
    v1::DesiredState shuffled = state;
    std::reverse(shuffled.mutable_services()->begin(), shuffled.mutable_services()->end());
    std::reverse(shuffled.mutable_local_addresses()->begin(),
                 shuffled.mutable_local_addresses()->end());
    for (v1::Service& service : *shuffled.mutable_services())
      std::reverse(service.mutable_backends()->begin(), service.mutable_backends()->end());
    EXPECT_EQ(Text(Diff(state, shuffled)), "");
  }
}

TEST(Diff, NamesWhatChanged) {
  const v1::DesiredState before = GoodState();
  v1::DesiredState after = before;
  after.mutable_services(0)->mutable_backends(0)->set_weight(2);
  after.mutable_services(0)->set_scheduler(v1::SCHEDULER_MAGLEV);
  after.mutable_services(1)->mutable_backends(0)->set_port(81);
  EXPECT_EQ(Text(Diff(before, after)),
            "A services[web].scheduler:  -> maglev\n"
            "A services[web].backends[10.0.2.11:80].weight:  -> 2\n"
            "R services[web6].backends[fd00:2::11:80]: {address: \"fd00:2::11\", port: 80} -> \n"
            "A services[web6].backends[fd00:2::11:81]:  -> {address: \"fd00:2::11\", port: 81}\n");
}

TEST(Diff, SpeaksOfDurationsAndWords) {
  v1::DesiredState before = GoodState();
  v1::Service& service = *before.mutable_services(0);
  service.mutable_timeouts()->set_udp_ms(30'000);
  service.mutable_backends(0)->set_weight(1);
  service.mutable_backends(0)->set_admin_state(v1::ADMIN_STATE_ENABLED);
  v1::DesiredState after = before;
  after.mutable_services(0)->mutable_timeouts()->set_udp_ms(500);
  after.mutable_services(0)->mutable_backends(0)->set_weight(0);
  after.mutable_services(0)->mutable_backends(0)->set_admin_state(v1::ADMIN_STATE_DRAINING);
  EXPECT_EQ(Text(Diff(before, after)),
            "C services[web].timeouts.udp: 30s -> 500ms\n"
            "C services[web].backends[10.0.2.11:80].weight: 1 -> 0\n"
            "C services[web].backends[10.0.2.11:80].admin_state: enabled -> draining\n");
}

TEST(Diff, ServicesAndPartsComeAndGoWhole) {
  const v1::DesiredState before = GoodState();
  v1::DesiredState after = before;
  after.mutable_services()->DeleteSubrange(1, 1);
  after.mutable_services(0)->clear_backends();
  after.mutable_services(0)->mutable_health_check()->set_type(v1::HealthCheck::TYPE_TCP);
  after.set_local_addresses(0, "10.0.2.101");
  EXPECT_EQ(Text(Diff(before, after)),
            "R local_addresses: 10.0.2.100 -> \n"
            "A local_addresses:  -> 10.0.2.101\n"
            "A services[web].health_check:  -> {type: tcp}\n"
            "R services[web].backends[10.0.2.11:80]: {address: 10.0.2.11, port: 80} -> \n"
            "R services[web].backends[10.0.2.12:80]: {address: 10.0.2.12, port: 80} -> \n"
            "R services[web6]: {name: web6, address: \"fd00:1::10\", port: 80, protocol: tcp, "
            "backends: [{address: \"fd00:2::11\", port: 80}, {address: \"fd00:2::12\", port: 80}]} "
            "-> \n");
}

TEST(Diff, EqualKeysAreToldApart) {
  v1::DesiredState state = GoodState();
  *state.add_services() = state.services(0);
  EXPECT_EQ(Text(Diff(state, state)), "");
  EXPECT_EQ(Diff(GoodState(), state).size(), 1u);
  EXPECT_EQ(Diff(GoodState(), state)[0].path(), "services[web#2]");
}

}  // namespace
}  // namespace steelyard::controlplane
